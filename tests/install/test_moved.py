"""A checkout that was copied with its build folder builds where it is now, and says so."""
import os
import shutil
import subprocess
import tempfile

SOURCE = os.environ["LEAT_SOURCE_DIR"]
TARGET = "leat_base"  # a few files, so that this takes seconds


def build(checkout):
    done = subprocess.run(["tools/build.sh", "release", TARGET], cwd=checkout, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_out(folder):
    """The sources without what else lies in the checkout, and the dependencies that were built."""
    shutil.copytree(SOURCE, folder, symlinks=True, ignore=lambda path, names: [
        name for name in names if path == SOURCE and name in ("build", ".git")])
    os.makedirs(os.path.join(folder, "build"))
    os.symlink(os.path.join(SOURCE, "build", "deps"), os.path.join(folder, "build", "deps"))


def main():
    with tempfile.TemporaryDirectory(prefix="leat-moved-") as folder:
        first, second = os.path.join(folder, "first"), os.path.join(folder, "second")
        check_out(first)
        assert "anew" not in build(first)
        assert "anew" not in build(first), "it was not moved"
        os.symlink(first, os.path.join(folder, "other-name"))
        assert "anew" not in build(os.path.join(folder, "other-name")), "another name is no move"
        shutil.copytree(first, second, symlinks=True)
        said = build(second)
        assert f"made for {first}; building anew for {second}" in said, said
        library = os.path.join("build", "release", f"lib{TARGET}.a")
        for checkout in (first, second):
            with open(os.path.join(checkout, "build", "release", "CMakeCache.txt"),
                      encoding="utf-8") as file:
                assert f"CMAKE_HOME_DIRECTORY:INTERNAL={checkout}\n" in file.read(), checkout
            assert os.path.exists(os.path.join(checkout, library)), library
        assert "anew" not in build(second)
    print("a copied checkout builds")


main()
