import EventBus
import Testing

@Suite("Identifiers and times", .timeLimit(.minutes(1)))
struct IdentityTests {
    @Test("Identifiers are UUIDs of version 7 and strictly increase, even from many tasks")
    func increasing() async {
        let texts = (0..<10_000).map { _ in EventID().rawValue }
        #expect(texts == texts.sorted())
        let pattern = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/
        #expect(texts.allSatisfy { $0.wholeMatch(of: pattern) != nil })
        let all = await withTaskGroup(of: [EventID].self) { group in
            for _ in 0..<8 { group.addTask { (0..<5000).map { _ in EventID() } } }
            return await group.reduce(into: Set<EventID>()) { $0.formUnion($1) }
        }
        #expect(all.count == 40_000)
    }

    @Test(
        "An identifier from the wire keeps its text",
        arguments: [
            "0190163d-8694-739b-aea5-966c26f8ad91", "0190163D-8694-739B-AEA5-966C26F8AD91", "order-42", "", "ü",
        ]
    )
    func text(_ text: String) {
        #expect(EventID(text).rawValue == text)
        #expect(EventID(EventID(text).rawValue) == EventID(text))
    }

    @Test(
        "Times are written and read as RFC 3339",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] as [(Int64, String)]
    )
    func times(_ milliseconds: Int64, _ text: String) {
        #expect(EventTime(milliseconds: milliseconds).rfc3339 == text)
        #expect(EventTime(rfc3339: text)?.milliseconds == milliseconds)
    }

    @Test(
        "Other spellings of RFC 3339 are read",
        arguments: [
            ("2023-11-14T23:13:20+01:00", 1_700_000_000_000), ("2023-11-14t22:13:20z", 1_700_000_000_000),
            ("2023-11-14 22:13:20.1239999Z", 1_700_000_000_123), ("2016-12-31T23:59:60Z", 1_483_228_799_000),
        ] as [(String, Int64)]
    )
    func spellings(_ text: String, _ milliseconds: Int64) {
        #expect(EventTime(rfc3339: text)?.milliseconds == milliseconds)
    }

    @Test(
        "What is no time is no time",
        arguments: [
            "", "2023-02-29T00:00:00Z", "2023-13-01T00:00:00Z", "2023-01-01T24:00:00Z", "2023-01-01T00:00:00",
            "2023-01-01T00:00:00.Z", "2023-01-01T00:00:00Zx", "2023-01-00T00:00:00Z", "x",
        ]
    )
    func noTimes(_ text: String) {
        #expect(EventTime(rfc3339: text) == nil)
    }
}
