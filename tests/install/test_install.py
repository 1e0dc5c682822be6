"""`make install` gives what a separate project needs: installs into a temporary folder, builds
tests/install there with nothing but pkg-config, and runs it linked both ways."""
import os
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.dirname(os.environ["LEAT_BIN_DIR"])
EXPECTED = '{"ts_ms":7,"user":"ada"}'


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def installed(prefix):
    return {os.path.relpath(os.path.join(folder, name), prefix)
            for folder, _, names in os.walk(prefix) for name in names}


def check_tree(prefix):
    tree = installed(prefix)
    source = os.environ["LEAT_SOURCE_DIR"]
    for header in os.listdir(os.path.join(source, "include", "leat")):
        assert f"include/leat/{header}" in tree, header
    assert any(name.endswith("pkgconfig/leat.pc") for name in tree)
    assert not any("leat__" in name or name.startswith("include/base") for name in tree)
    for program in os.listdir(os.environ["LEAT_BIN_DIR"]):
        path = os.path.join(os.environ["LEAT_BIN_DIR"], program)
        if os.path.isfile(path) and program.startswith("leat"):
            assert f"bin/{program}" in tree, program
    return next(os.path.dirname(name) for name in tree if name.endswith("leat.pc"))


def main():
    folder = tempfile.mkdtemp(prefix="leat-install-")
    try:
        prefix = os.path.join(folder, "prefix")
        project = os.path.join(folder, "project")
        run("cmake", "--install", BUILD, "--prefix", prefix)
        packages = os.path.join(prefix, check_tree(prefix))
        shutil.copytree(HERE, project)
        environment = dict(os.environ, PKG_CONFIG_PATH=packages,
                           LD_LIBRARY_PATH=os.path.dirname(packages))
        run("make", "-s", "-C", project, env=environment)
        for how in ("shared", "static"):
            printed = run(os.path.join(project, f"consumer-{how}"), env=environment)
            assert EXPECTED in printed and printed.startswith("leat "), printed
            print(f"{how}: {printed.strip()}")
    finally:
        shutil.rmtree(folder)


main()
