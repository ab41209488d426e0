import SoakAudit
import Testing

@Suite("Ledgers")
struct LedgerTests {
    @Test("An entry survives its representation in a file")
    func roundTrip() {
        let record = LedgerRecord(
            time: 0x0102_0304_0506_0708,
            kind: .lockFailed,
            number: .max,
            extra: 1 << 63,
            code: 200
        )
        let bytes = record.bytes
        #expect(bytes.count == LedgerRecord.size)
        #expect(bytes.withUnsafeBytes { LedgerRecord($0, at: 0) } == record)
    }

    @Test("An incomplete entry is no entry")
    func incomplete() {
        let bytes = LedgerRecord(time: 1, kind: .effect).bytes.dropLast()
        #expect(Array(bytes).withUnsafeBytes { LedgerRecord($0, at: 0) } == nil)
    }

    @Test("The number of an event contains its topic, its stream and its place", arguments: SoakTopic.allCases)
    func numbers(_ topic: SoakTopic) {
        let number = EventNumber(topic, publisher: 2, task: 7, sequence: 1 << 39)
        #expect(number.topic == topic)
        #expect(number.sequence == 1 << 39)
        #expect(number.stream != EventNumber(topic, publisher: 1, task: 7, sequence: 1 << 39).stream)
        #expect(EventNumber(id: number.id) == number)
        #expect(EventNumber(id: "soak-") == nil)
    }
}
