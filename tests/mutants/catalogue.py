"""Owns the list of mutants: which rule each takes out, by which change of text, and which tests have to notice."""

from tests.mutants.access import OF_ACCESS
from tests.mutants.announced import OF_ANNOUNCED_GOODS
from tests.mutants.book import OF_THE_BOOK
from tests.mutants.movements import OF_MOVEMENTS
from tests.mutants.mutant import Edit, Mutant, one
from tests.mutants.rules import OF_THE_RULES
from tests.mutants.settling import OF_SETTLING

ORDER = "tests/agents/test_partition_order.py"
ANSWERS = "tests/agents/test_transaction_answers.py"
HANGING = "tests/fault/test_hanging.py"
FUZZ = "tests/schemas/test_decoder_fuzz.py"
UNPACKING = "tests/agents/kafka/test_unpacking.py"
PROPERTIES = "tests/tables/test_ledger_properties.py"

PARTITION = "agents/partition.py"
CLIENT = "agents/transactions.py"
HANGING_CODE = "agents/hanging.py"
LOCAL_STORE = "agents/local_store.py"
FOLD = "agents/fold.py"
UNPACKING_CODE = "agents/kafka/unpacking.py"
CODEC = "schemas/codec.py"
DECIDE = "tables/core/decide.py"
LEDGER = "tables/ledger.py"

_CHECKPOINT = "        ledger.checkpoint(position, offsets[CHANGELOG] + len(rows) - 1)\n"
_END = "        await transactions.end()\n"
_FENCE = "        await transactions.begin([TopicPartition(topic, self.number) for topic in _OUTPUTS])\n"
_RANGE = "        log_start, log_end = await transactions.log_range(CHANGELOG, self.number)\n"
_NEW_EPOCH = "        self._producer_id, self._epoch = answer.producer_id, answer.producer_epoch\n"
_LAST_LINE_BEFORE = "            for place, offset in self._offsets.items()\n        }\n"
_SEND_END = "            answer: ProducerResponse = await self._client.send(self._coordinator, request)\n"
_LOST_ANSWER = "        except (KafkaError, OSError) as error:\n            self._coordinator = None\n"


_OF_COMMIT = (
    Mutant(
        "write-before-end",
        "RocksDB is written after the transaction is committed",
        (Edit(PARTITION, _CHECKPOINT, ""), Edit(PARTITION, _END, _CHECKPOINT + _END)),
        (ORDER,),
    ),
    one(
        "keep-ledger",
        "a ledger whose transaction failed is thrown away",
        PARTITION,
        "                self._ledger = None  # its overlay",
        "                pass  # its overlay",
        ORDER,
    ),
    one(
        "no-continuity",
        "a batch is taken only where the last one ended",
        PARTITION,
        "if not self.is_open or batch.read_from != self.read_position:",
        "if not self.is_open:",
        ORDER,
    ),
    one(
        "decide-twice",
        "what lies before the position is decided already",
        PARTITION,
        "[record for record in batch.records if record.offset >= done]",
        "list(batch.records)",
        ORDER,
    ),
    one(
        "checkpoint-at-first-row",
        "the checkpoint is the offset of the position row, the last of the batch",
        PARTITION,
        "offsets[CHANGELOG] + len(rows) - 1",
        "offsets[CHANGELOG]",
        ORDER,
    ),
    one(
        "commit-when-revoked",
        "after REVOKE no transaction is sent its end",
        PARTITION,
        "        if self._revoked:\n            raise NotOursError\n",
        "",
        ORDER,
    ),
    one(
        "same-batch-when-too-large",
        "a batch that was too large is tried in halves",
        PARTITION,
        "            self._batch_limit = max(1, folded.commands // 2)\n",
        "",
        ORDER,
    ),
)

_OF_RECOVER = (
    one("no-fence", "RECOVER fences older owners", PARTITION, _FENCE, "", ORDER),
    Mutant(
        "end-before-fence",
        "the end of the changelog is asked for after fencing",
        (Edit(PARTITION, _RANGE, ""), Edit(PARTITION, _FENCE, _RANGE + _FENCE)),
        (ORDER,),
    ),
    one(
        "last-stable-offset",
        "the end of the changelog is asked for with read_uncommitted",
        CLIENT,
        "[place], LATEST, READ_UNCOMMITTED",
        "[place], LATEST, READ_COMMITTED",
        ANSWERS,
    ),
    one(
        "start-from-the-earliest",
        "the ledger's own position says where to go on",
        PARTITION,
        "        if ledger.position is None:\n"
        "            await self._check_nothing_was_published(transactions, log_end)\n"
        "            ledger.position = Position(commands_start,",
        "        if True:\n            ledger.position = Position(commands_start,",
        ORDER,
    ),
    one(
        "no-lost-commands",
        "a position that the commands topic does not hold stops the worker",
        PARTITION,
        "        if not commands_start <= next_offset <= commands_end:\n",
        "        if False:\n",
        ORDER,
    ),
    one(
        "no-incarnation",
        "a store of another incarnation is rebuilt",
        LOCAL_STORE,
        "                    if decode_position(value).incarnation != incarnation:\n",
        "                    if False:\n",
        ORDER,
    ),
    one(
        "no-proof",
        "a store whose position is not in the changelog is rebuilt",
        LOCAL_STORE,
        "        return proven\n",
        "        return True\n",
        ORDER,
    ),
    one(
        "no-age-of-store",
        "a store older than the changelog keeps its tombstones is rebuilt",
        LOCAL_STORE,
        "        elif wall_clock_ms() - checkpoint.written_at >= DELETE_RETENTION_MS:\n",
        "        elif False:\n",
        ORDER,
    ),
    one(
        "read-to-the-last-chunk-but-one",
        "the changelog is read up to its end",
        LOCAL_STORE,
        "await self._read(start, log_end)",
        "await self._read(start, log_end - 2)",
        ORDER,
    ),
)

_OF_THE_CLIENT = (
    one(
        "ignore-a-produce-error",
        "an error in any partition's answer ends the attempt",
        CLIENT,
        "                        await self._raise_produce_error(topic.name, written)\n",
        "                        found[topic.name] = written.base_offset\n",
        ANSWERS,
    ),
    one(
        "ignore-a-missing-answer",
        "a partition that is not in the answer ends the attempt",
        CLIENT,
        "        if missing:\n",
        "        if False:\n",
        ANSWERS,
    ),
    one(
        "old-epoch",
        "EndTxn's answer gives the epoch of the next transaction",
        CLIENT,
        _LAST_LINE_BEFORE + _NEW_EPOCH,
        _LAST_LINE_BEFORE,
        ANSWERS,
    ),
    one(
        "end-twice",
        "EndTxn is never sent again",
        CLIENT,
        _SEND_END + _LOST_ANSWER,
        _SEND_END
        + "        except (KafkaError, OSError):\n            with contextlib.suppress(KafkaError):\n    "
        + _SEND_END
        + "        try:\n            pass\n"
        + _LOST_ANSWER,
        ANSWERS,
    ),
)

_OF_THE_CORE = (
    one(
        "wall-clock",
        "reservations expire by the clock of the log",
        FOLD,
        "            now_ms = record.timestamp\n",
        '            now_ms = max(now_ms, __import__("time").time_ns() // 1_000_000)\n',
        PROPERTIES,
    ),
    one(
        "clock-goes-back",
        "the clock of the log never goes back",
        FOLD,
        "        if record.timestamp > now_ms:  # noqa: PLR1730 - a call of `max` takes 8 times as long\n",
        "        if True:\n",
        PROPERTIES,
    ),
    one(
        "no-replay",
        "a duplicate is answered with the original result",
        DECIDE,
        "    if seen is not None and seen.type != _QUERY:\n        if seen.content != content:",
        "    if seen is not None and seen.content != content:\n        if True:",
        PROPERTIES,
    ),
    one(
        "no-mismatch",
        "an id used again for something else is refused",
        DECIDE,
        "        if seen.content != content:\n",
        "        if False:\n",
        PROPERTIES,
    ),
    one(
        "reserve-what-is-reserved",
        "no reserve makes what is available negative",
        "tables/core/reserve.py",
        "        if row.on_hand - row.reserved - row.safety_stock >= quantity:\n",
        "        if row.on_hand - row.safety_stock >= quantity:\n",
        PROPERTIES,
    ),
    one(
        "forget-an-hour-early",
        "a command is remembered for 24 hours",
        "tables/core/rows.py",
        "DEDUPLICATION_WINDOW_MS = 24 * _HOUR_MS",
        "DEDUPLICATION_WINDOW_MS = 23 * _HOUR_MS",
        PROPERTIES,
    ),
    one(
        "forget-all-that-is-listed",
        "a row is dropped only when its own time is over",
        LEDGER,
        "            if until is not None and until <= now_ms:\n",
        "            if True:\n",
        PROPERTIES,
    ),
    one(
        "expire-what-was-extended",
        "an extended reservation does not expire at its old time",
        "tables/core/release.py",
        ' or held.state != "held" or held.expires_at != expires_at:',
        ' or held.state != "held":',
        PROPERTIES,
    ),
    one(
        "order-of-hashes",
        "the same log makes the same bytes in every process",
        LEDGER,
        "for warehouse in sorted(stock)}",
        "for warehouse in set(stock)}",
        f"{PROPERTIES}::test_the_same_log_makes_the_same_bytes_in_every_process",
    ),
)

_OF_THE_DECODER = (
    one(
        "endless-string",
        "a string without an end is passed over once, not from each of its quotes",
        CODEC,
        """[^"\\\\]+|\\\\.)*+"?'""",
        """[^"\\\\]|\\\\.)*"'""",
        f"{FUZZ}::test_a_megabyte_of_strings_without_an_end_does_not_hold_the_partition_up",
    ),
    one(
        "no-limit-of-depth",
        "a record that nests deeply is malformed, whatever the stack",
        CODEC,
        "    if _depth(value) > _MAX_DEPTH:\n",
        "    if False:\n",
        FUZZ,
    ),
    one(
        "answer-to-anybody",
        "only a well-formed command id and SKU are answered",
        CODEC,
        "    if _CHECK_IDS[readable].first_bad_field(ids) is not None:\n",
        "    if False:\n",
        "tests/schemas/test_codec.py",
    ),
)

_OF_WHAT_HANGS = (
    one(
        "hanging-is-committed",
        "what hangs is ended as the coordinator decided",
        HANGING_CODE,
        "        return _OUTCOMES[state.word]\n",
        "        return True\n",
        HANGING,
    ),
    one(
        "any-epoch-is-the-last",
        "the coordinator's decision is of the epoch before its own, and of no other",
        HANGING_CODE,
        "if hanging.epoch == state.epoch - 1 and state.word",
        "if state.word",
        HANGING,
    ),
    one(
        "followed-is-unknown",
        "what its owner followed with another transaction was committed",
        HANGING_CODE,
        "                if batch.producer_epoch == epoch + 1:\n",
        "                if False:\n",
        HANGING,
    ),
    one(
        "followers-are-believed",
        "only a leader tells of open transactions",
        HANGING_CODE,
        "        await offsets_from(client, leader, led, LATEST, READ_UNCOMMITTED)\n",
        "",
        "tests/agents/test_hanging_questions.py",
    ),
    one(
        "two-under-one-marker",
        "a transaction that was written behind a hanging one is not decided with it",
        HANGING_CODE,
        "    if first_epochs != [it.epoch for it in hanging]:\n",
        "    if False:\n",
        HANGING,
    ),
    one(
        "over-any-connection",
        "where an end has not been seen, a batch is written only over the connection of then",
        CLIENT,
        " or (unseen and unseen.connection is not connection)",
        "",
        ANSWERS,
    ),
    one(
        "over-a-new-connection",
        "a batch goes over the very connection that was looked at",
        CLIENT,
        "            return await connection.send(request)\n",
        "            return await self._client.send(1, request)\n",
        ANSWERS,
    ),
    one(
        "only-the-last-is-asked-for",
        "what was committed before the last transaction must have ended too",
        HANGING_CODE,
        "still_open.get(place, epoch + 1) > epoch",
        "still_open.get(place, epoch + 1) != epoch",
        ANSWERS,
    ),
    one(
        "late-is-hanging",
        "what its coordinator still writes the end of does not hang",
        HANGING_CODE,
        "                ends[place] = End.COMING\n",
        "                ends[place] = End.MISSING\n",
        ANSWERS,
    ),
    one(
        "nobody-asks",
        "it is asked how what was committed a while ago has ended",
        "agents/assignment.py",
        "partition.may_hang and",
        "False and",
        "tests/agents/test_recover_hanging.py",
    ),
)

_OF_UNPACKING = (
    one(
        "unpack-everything",
        "no more than 16 MiB of a caller's batch is unpacked",
        UNPACKING_CODE,
        "                raise TooLargeError from error\n            room = min(limit, 8 * room)\n",
        "                limit *= 8\n            room = min(limit, 8 * room)\n",
        UNPACKING,
    ),
    one(
        "unpack-many-at-once",
        "the batches of one fetch are not unpacked beyond the limit together",
        UNPACKING_CODE,
        "        if self._left <= 0:\n",
        "        if False:\n",
        UNPACKING,
    ),
    one(
        "believe-all-offsets",
        "a batch whose records are numbered otherwise than its header says is left out",
        "agents/kafka/private.py",
        "    if [record.offset for record in records] == list(range(position, end)):\n",
        "    if True:\n",
        UNPACKING,
    ),
    one(
        "into-a-large-batch",
        "the position goes behind the last offset of a batch that is too large",
        FOLD,
        "        return record.last_offset\n",
        "        return place.offset\n",
        "tests/agents/test_fold.py",
    ),
)

_OF_THE_PROTOCOL = _OF_COMMIT + _OF_RECOVER + _OF_THE_CLIENT + _OF_WHAT_HANGS
_OF_THE_DOMAIN = OF_THE_RULES + OF_THE_BOOK + OF_SETTLING + OF_ANNOUNCED_GOODS + OF_MOVEMENTS
MUTANTS = _OF_THE_PROTOCOL + _OF_THE_CORE + _OF_THE_DOMAIN + _OF_THE_DECODER + _OF_UNPACKING + OF_ACCESS
