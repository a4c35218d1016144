import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Shows one reserve over Kafka in Java: sent again, unchanged, until its result is there.
 *
 * <p>java -cp kafka-clients.jar:slf4j-api.jar ShopOverKafka.java HOST:PORT ORDER_ID SKU QUANTITY
 *
 * <p>The SKU is the record's key, and the client's default partitioner does the rest. Results have the same key and
 * the same partition; they are read with read_committed and told apart by command_id. In a real shop the command stands in an
 * outbox table before it is sent, as in shop_over_kafka.py. Arguments are put into the JSON as they are: use a JSON
 * library for SKUs with quotation marks or backslashes, and for more than the fields that are looked for here.
 */
public final class ShopOverKafka {
    private static final String COMMANDS = "inventory.commands";
    private static final String RESULTS = "inventory.results";
    private static final long SEND_AGAIN_AFTER_MS = 5_000;

    private ShopOverKafka() {}

    public static void main(String[] args) throws Exception {
        String orderId = args[1];
        String sku = args[2];
        String commandId = orderId + ":reserve:1";
        String command = String.format(
            "{\"command_id\":\"%s\",\"type\":\"reserve\",\"sku\":\"%s\",\"reservation_id\":\"%s\",\"quantity\":%s}",
            commandId, sku, orderId, args[3]);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(producing(args[0]));
             KafkaConsumer<String, String> consumer = new KafkaConsumer<>(consuming(args[0]))) {
            standAtTheEnd(consumer);
            while (true) {
                producer.send(new ProducerRecord<>(COMMANDS, sku, command)).get();
                String result = resultOf(consumer, sku, commandId);
                if (result != null) {
                    System.out.println(result);
                    System.exit(result.contains("\"status\":\"accepted\"") ? 0 : 1);
                }
            }
        }
    }

    /** Stand behind the last result. All that come after the command was sent are behind this place. */
    private static void standAtTheEnd(KafkaConsumer<String, String> consumer) {
        List<TopicPartition> partitions = consumer.partitionsFor(RESULTS).stream()
            .map(info -> new TopicPartition(RESULTS, info.partition())).toList();
        consumer.assign(partitions);
        for (Map.Entry<TopicPartition, Long> end : consumer.endOffsets(partitions).entrySet()) {
            consumer.seek(end.getKey(), end.getValue());
        }
    }

    /** Return the command's result, null when it does not come in time. */
    private static String resultOf(KafkaConsumer<String, String> consumer, String sku, String commandId) {
        long until = System.nanoTime() + SEND_AGAIN_AFTER_MS * 1_000_000;
        while (System.nanoTime() < until) {
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                boolean isMine = sku.equals(record.key()) && record.value() != null
                    && record.value().startsWith("{\"command_id\":\"" + commandId + "\",");
                if (isMine) {
                    return record.value();
                }
            }
        }
        return null;
    }

    /** Where Kafka is and, if the variables of Holdfast's own processes say so, how it is reached securely. */
    private static Properties connecting(String bootstrap) throws IOException {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        Map<String, String> env = System.getenv();
        if ("SASL_SSL".equals(env.get("HOLDFAST_KAFKA_SECURITY"))) {
            String password = Files.readString(Path.of(env.get("HOLDFAST_KAFKA_PASSWORD_FILE"))).strip();
            settings.put("security.protocol", "SASL_SSL");
            settings.put("ssl.truststore.type", "PEM");
            settings.put("ssl.truststore.location", env.get("HOLDFAST_KAFKA_CA"));
            settings.put("sasl.mechanism", env.get("HOLDFAST_KAFKA_SASL"));
            settings.put("sasl.jaas.config", String.format(
                "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"%s\" password=\"%s\";",
                env.get("HOLDFAST_KAFKA_USERNAME"), password));
        }
        return settings;
    }

    private static Properties producing(String bootstrap) throws IOException {
        Properties settings = connecting(bootstrap);
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", StringSerializer.class.getName());
        settings.put("acks", "all");
        settings.put("enable.idempotence", "true");
        return settings;
    }

    private static Properties consuming(String bootstrap) throws IOException {
        Properties settings = connecting(bootstrap);
        settings.put("key.deserializer", StringDeserializer.class.getName());
        settings.put("value.deserializer", StringDeserializer.class.getName());
        settings.put("isolation.level", "read_committed");
        settings.put("enable.auto.commit", "false");
        return settings;
    }
}
