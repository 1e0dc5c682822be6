package leat.bench;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.TransactionNamingStrategy;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * user_events -> count per user_id -> user_recommendations, as examples/user_counts does it:
 * RocksDB state, exactly once by checkpoints and Kafka transactions.
 *
 * <p>FlinkCount BROKER STATE_DIR NAME INPUT OUTPUT [SETTING=VALUE ...]; settings are those
 * of Flink, the checkpoint interval among them.
 */
public final class FlinkCount {
    private FlinkCount() {}

    public static void main(String[] args) throws Exception {
        StreamExecutionEnvironment job =
            StreamExecutionEnvironment.getExecutionEnvironment(settings(args));
        KafkaSource<String> events = KafkaSource.<String>builder()
            .setBootstrapServers(args[0])
            .setTopics(args[3])
            .setGroupId(args[2])
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setValueOnlyDeserializer(new UserOfEvent())
            .build();
        job.fromSource(events, WatermarkStrategy.noWatermarks(), "events")
            .filter(user -> !user.isEmpty())
            .keyBy(user -> user)
            .process(new Count())
            .sinkTo(sink(args));
        job.execute(args[2]);
    }

    private static Configuration settings(String[] args) {
        String directory = Path.of(args[1]).toUri().toString();
        Configuration settings = new Configuration();
        settings.setString("parallelism.default", "1");
        settings.setString("state.backend.type", "rocksdb");
        settings.setString("execution.checkpointing.incremental", "true");
        settings.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        settings.setString("execution.checkpointing.storage", "filesystem");
        settings.setString("execution.checkpointing.dir", directory + "checkpoints");
        settings.setString("io.tmp.dirs", Path.of(args[1], "local").toString());
        settings.setString("pipeline.object-reuse", "true");
        for (int i = 5; i < args.length; i++) {
            int equals = args[i].indexOf('=');
            settings.setString(args[i].substring(0, equals), args[i].substring(equals + 1));
        }
        return settings;
    }

    private static KafkaSink<Tuple2<String, Long>> sink(String[] args) {
        Properties producer = new Properties();
        producer.setProperty("transaction.timeout.ms",
                             Long.toString(Duration.ofMinutes(1).toMillis()));
        return KafkaSink.<Tuple2<String, Long>>builder()
            .setBootstrapServers(args[0])
            .setKafkaProducerConfig(producer)
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
            .setTransactionalIdPrefix(args[2])
            .setTransactionNamingStrategy(TransactionNamingStrategy.POOLING)
            .setRecordSerializer(KafkaRecordSerializationSchema.<Tuple2<String, Long>>builder()
                .setTopic(args[4])
                .setKeySerializationSchema(new CountKey())
                .setValueSerializationSchema(new CountValue())
                .build())
            .build();
    }

    /** An empty text stands for a record that is no event. */
    private static final class UserOfEvent extends AbstractDeserializationSchema<String> {
        @Override
        public String deserialize(byte[] event) {
            String user = Json.userOf(event);
            return user == null ? "" : user;
        }
    }

    private static final class CountKey implements SerializationSchema<Tuple2<String, Long>> {
        @Override
        public byte[] serialize(Tuple2<String, Long> count) {
            return count.f0.getBytes(StandardCharsets.UTF_8);
        }
    }

    private static final class CountValue implements SerializationSchema<Tuple2<String, Long>> {
        @Override
        public byte[] serialize(Tuple2<String, Long> count) {
            return Json.count(count.f0, count.f1);
        }
    }

    private static final class Count
        extends KeyedProcessFunction<String, String, Tuple2<String, Long>> {
        private transient ValueState<Long> count;

        @Override
        public void open(OpenContext context) {
            count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Types.LONG));
        }

        @Override
        public void processElement(String user, Context context,
                                   Collector<Tuple2<String, Long>> out) throws Exception {
            Long before = count.value();
            long now = before == null ? 1 : before + 1;
            count.update(now);
            out.collect(Tuple2.of(user, now));
        }
    }
}
