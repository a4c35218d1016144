import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The rival: the same job as a straightforward app of Kafka Streams, exactly_once_v2, by the Processor API.
 *
 * One processor, three stores in RocksDB with their changelogs (stock rows, reservations, results of commands that were
 * seen), results and stock changes of the same fields as Holdfast's; JSON by Jackson. It does less than Holdfast:
 * reservations do not expire, and nothing is ever forgotten, split over warehouses or checked beyond its type.
 *
 * Run as `java StreamsRival BOOTSTRAP NAME COMMANDS RESULTS CHANGES STATE_DIR THREADS`.
 */
public final class StreamsRival {
    private static final ObjectMapper JSON = new ObjectMapper()
            .configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, true);

    record Command(String command_id, String type, String sku, String warehouse, String reason, Integer delta,
            String reservation_id, Integer quantity, String channel, Long ttl_ms, String order_id) {}

    record Row(long seq, String warehouse, int on_hand, int reserved, int damaged, int safety_stock, int inbound) {}

    record Allocation(String warehouse, int quantity) {}

    record Reservation(String reservation_id, String state, int quantity, int committed, int released,
            List<Allocation> allocations, String channel, String order_id, Long expires_at) {}

    record View(String warehouse, int on_hand, int reserved, int damaged, int safety_stock, int inbound,
            int available) {}

    record Result(String command_id, String type, String sku, String status, String code, boolean replayed,
            Reservation reservation, List<View> stock, boolean shortfall, long seq, long at, int partition,
            long offset) {}

    @JsonInclude(JsonInclude.Include.NON_NULL)
    record Cause(String type, String command_id, String reservation_id, String reason) {}

    record Quantities(int on_hand, int reserved, int damaged, int safety_stock, int inbound, int available) {}

    record Change(String sku, String warehouse, long seq, long at, Cause cause, Map<String, Integer> delta,
            Quantities after, boolean shortfall) {}

    /** One command at a time against the stores. */
    static final class Inventory implements Processor<String, Command, String, Object> {
        private ProcessorContext<String, Object> context;
        private KeyValueStore<String, Row> stock;
        private KeyValueStore<String, Reservation> reservations;
        private KeyValueStore<String, Result> seen;
        private Record<String, Command> record;
        private Row before;

        @Override
        public void init(ProcessorContext<String, Object> given) {
            context = given;
            stock = given.getStateStore("stock");
            reservations = given.getStateStore("reservations");
            seen = given.getStateStore("seen");
        }

        @Override
        public void process(Record<String, Command> given) {
            record = given;
            Command command = given.value();
            String id = command.sku() + "/" + command.command_id();
            Result first = seen.get(id);
            if (first != null) {
                send("results", command.sku(), first);
                return;
            }
            before = stock.get(command.sku());
            Result result = switch (command.type()) {
                case "adjust" -> adjust(command);
                case "reserve" -> reserve(command);
                default -> end(command);
            };
            seen.put(id, result);
            send("results", command.sku(), result);
        }

        private Result adjust(Command command) {
            Row row = before == null ? new Row(0, command.warehouse(), 0, 0, 0, 0, 0) : before;
            if (row.on_hand() + command.delta() < 0) {
                return refuse(command, "negative_stock");
            }
            return change(command, row, command.delta(), 0, null);
        }

        private Result reserve(Command command) {
            if (before == null) {
                return refuse(command, "unknown_sku");
            }
            if (reservations.get(command.sku() + "/" + command.reservation_id()) != null) {
                return refuse(command, "reservation_exists");
            }
            int quantity = command.quantity();
            if (before.on_hand() - before.reserved() - before.safety_stock() < quantity) {
                return refuse(command, "insufficient_stock");
            }
            long ttl = command.ttl_ms() == null ? 900_000 : command.ttl_ms();
            Reservation reservation = new Reservation(command.reservation_id(), "held", quantity, 0, 0,
                    List.of(new Allocation(before.warehouse(), quantity)),
                    command.channel() == null ? "default" : command.channel(), command.order_id(),
                    record.timestamp() + ttl);
            return change(command, before, 0, quantity, reservation);
        }

        private Result end(Command command) {
            if (before == null) {
                return refuse(command, "unknown_sku");
            }
            Reservation held = reservations.get(command.sku() + "/" + command.reservation_id());
            if (held == null) {
                return refuse(command, "unknown_reservation");
            }
            if (!held.state().equals("held")) {
                return refuse(command, "reservation_" + held.state());
            }
            int quantity = held.quantity();
            boolean commits = command.type().equals("commit");
            Reservation after = new Reservation(held.reservation_id(), commits ? "committed" : "released", quantity,
                    commits ? quantity : 0, commits ? 0 : quantity, List.of(), held.channel(), held.order_id(),
                    held.expires_at());
            return change(command, before, commits ? -quantity : 0, -quantity, after);
        }

        private Result refuse(Command command, String code) {
            return result(command, "rejected", code, null, List.of(), before == null ? 0 : before.seq());
        }

        private Result change(Command command, Row row, int onHand, int reserved, Reservation reservation) {
            Row after = new Row(row.seq() + 1, row.warehouse(), row.on_hand() + onHand, row.reserved() + reserved,
                    row.damaged(), row.safety_stock(), row.inbound());
            stock.put(command.sku(), after);
            if (reservation != null) {
                reservations.put(command.sku() + "/" + reservation.reservation_id(), reservation);
            }
            int available = after.on_hand() - after.reserved() - after.safety_stock();
            Map<String, Integer> delta = onHand == 0 ? Map.of("reserved", reserved)
                    : reserved == 0 ? Map.of("on_hand", onHand) : Map.of("on_hand", onHand, "reserved", reserved);
            Cause cause = new Cause(command.type(), command.command_id(), command.reservation_id(), command.reason());
            send("changes", command.sku() + "/" + after.warehouse(), new Change(command.sku(), after.warehouse(),
                    after.seq(), record.timestamp(), cause, delta, new Quantities(after.on_hand(), after.reserved(),
                            after.damaged(), after.safety_stock(), after.inbound(), available),
                    after.reserved() > after.on_hand()));
            View view = new View(after.warehouse(), after.on_hand(), after.reserved(), after.damaged(),
                    after.safety_stock(), after.inbound(), available);
            return result(command, "accepted", null, reservation, List.of(view), after.seq());
        }

        private Result result(Command command, String status, String code, Reservation reservation, List<View> rows,
                long seq) {
            var place = context.recordMetadata().orElseThrow();
            return new Result(command.command_id(), command.type(), command.sku(), status, code, false, reservation,
                    rows, false, seq, record.timestamp(), place.partition(), place.offset());
        }

        private void send(String sink, String key, Object value) {
            context.forward(record.withKey(key).withValue(value), sink);
        }
    }

    private static <T> Serde<T> json(Class<T> type) {
        ObjectReader reader = JSON.readerFor(type);
        ObjectWriter writer = JSON.writer();
        Serializer<T> serializer = (topic, value) -> {
            try {
                return value == null ? null : writer.writeValueAsBytes(value);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
        Deserializer<T> deserializer = (topic, bytes) -> {
            try {
                return bytes == null ? null : reader.readValue(bytes);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
        return Serdes.serdeFrom(serializer, deserializer);
    }

    private static <T> org.apache.kafka.streams.state.StoreBuilder<KeyValueStore<String, T>> store(String name,
            Class<T> type) {
        return Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), Serdes.String(), json(type));
    }

    public static void main(String[] arguments) throws InterruptedException {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[1]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[5]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, arguments[6]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        // Larger batches than by default on both sides: with two threads that makes it up to a third faster here. Caches
        // over the stores make it slower.
        settings.put(StreamsConfig.producerPrefix("batch.size"), 256 * 1024);
        settings.put(StreamsConfig.producerPrefix("linger.ms"), 20);
        settings.put(StreamsConfig.producerPrefix("buffer.memory"), 128L * 1024 * 1024);
        settings.put(StreamsConfig.consumerPrefix("max.poll.records"), 5_000);
        settings.put(StreamsConfig.consumerPrefix("max.partition.fetch.bytes"), 4 * 1024 * 1024);
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);

        Topology topology = new Topology();
        topology.addSource("commands", Serdes.String().deserializer(), json(Command.class).deserializer(),
                arguments[2]);
        topology.addProcessor("inventory", Inventory::new, "commands");
        topology.addStateStore(store("stock", Row.class), "inventory");
        topology.addStateStore(store("reservations", Reservation.class), "inventory");
        topology.addStateStore(store("seen", Result.class), "inventory");
        topology.addSink("results", arguments[3], Serdes.String().serializer(), json(Object.class).serializer(),
                "inventory");
        topology.addSink("changes", arguments[4], Serdes.String().serializer(), json(Object.class).serializer(),
                "inventory");

        KafkaStreams streams = new KafkaStreams(topology, settings);
        CountDownLatch over = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close();
            over.countDown();
        }));
        streams.start();
        System.out.println("ready");
        over.await();
    }
}
