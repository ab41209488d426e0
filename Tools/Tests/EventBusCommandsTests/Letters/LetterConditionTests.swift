import EventBus
import Testing

@testable import EventBusCommands

/// The conditions on payloads and headers, and the other criteria.
struct LetterConditionTests {
    private func letter(_ payload: String) -> DeadLetter {
        DeadLetter(
            envelope: Envelope(
                topic: "order.created",
                payload: Array(payload.utf8),
                headers: ["tenant": "acme", "tries": 3]
            ),
            group: "g",
            queue: "g.q",
            failure: Failure(reason: .nonRetryable, errorType: "Shop.StockError", message: "no stock"),
            attempts: 1,
            firstFailure: nil,
            lastFailure: EventTime(milliseconds: 1_000)
        )
    }

    private static let payload = #"""
        {"total": 100.5, "count": 9007199254740993, "id": "0042", "amount": "99.50", "limit": "nan", "paid": false, "note": null,
         "lines": [{"sku": "A-7"}, {"sku": "B > C"}]}
        """#

    @Test(arguments: [
        "payload.total > 100", "payload.total>=100.5", "payload.total < 101", "payload.total <= 100.5",
        "payload.total = 100.5", "payload.total != 100", "payload.count = 9007199254740993", "payload.id = 0042",
        "payload.id = '0042'", "payload.paid = false", "payload.note = null", "payload.missing = null",
        "payload.lines.0.sku = A-7", "payload.lines.1.sku == \"B > C\"", "payload.lines.1.sku ~ B", "payload.id != 42",
        "header.tenant = acme", "header.tries > 2", "payload.missing != 1", "payload.lines.0.sku < B",
        "payload.amount < 100", "payload.amount > 9", "payload.amount > '100'", "payload.limit = nan",
        "payload.amount = 99.50",
    ])
    func `a condition holds`(text: String) throws {
        var filter = LetterFilter()
        filter.conditions = [try #require(LetterCondition(text))]
        #expect(filter.includes(letter(Self.payload)))
    }

    @Test(arguments: [
        "payload.total > 100.5", "payload.total = 100", "payload.count = 9007199254740992", "payload.id = 42",
        "payload.paid = true", "payload.paid > 0", "payload.missing > 0", "payload.lines.7.sku = A-7",
        "header.tenant = zenith", "header.none = acme", "payload.total ~ 100",
        "payload.amount > 100", "payload.amount > 999", "payload.lines.0.sku > 1", "payload.total = nan",
        "payload.total >= nan", "payload.total <= inf", "payload.total > 0x1p3", "payload.limit > 0",
    ])
    func `a condition does not hold`(text: String) throws {
        var filter = LetterFilter()
        filter.conditions = [try #require(LetterCondition(text))]
        #expect(!filter.includes(letter(Self.payload)))
        #expect(!filter.includes(letter("not JSON")) || text.hasPrefix("payload.missing"))
    }

    @Test(arguments: [
        "", "payload", "payload > 1", "payload. > 1", "total > 1", "payload.total", "payload..a = 1", "= 1",
        "payload.total => 100", "payload.total =< 100", "payload.total <> 100", "payload.total === 100",
    ])
    func `an invalid condition is refused`(text: String) {
        #expect(LetterCondition(text) == nil)
    }

    @Test func `all other criteria must hold`() throws {
        let letter = letter(Self.payload)
        #expect(LetterFilter().isEmpty)
        let matching = LetterFilter(
            ids: [letter.envelope.id.rawValue],
            topic: "order.#",
            queue: "g.q",
            reasons: ["non_retryable"],
            error: "StockError",
            since: EventTime(milliseconds: 1_000),
            before: EventTime(milliseconds: 1_001)
        )
        #expect(matching.includes(letter))
        #expect(!matching.isEmpty)
        func fails(_ change: (inout LetterFilter) -> Void) -> Bool {
            var filter = matching
            change(&filter)
            return !filter.includes(letter)
        }
        #expect(fails { $0.ids = ["other"] })
        #expect(fails { $0.topic = "payment.#" })
        #expect(fails { $0.queue = "g.other" })
        #expect(fails { $0.reasons = ["undecodable"] })
        #expect(fails { $0.error = "no money" })
        #expect(fails { $0.since = EventTime(milliseconds: 1_001) })
        #expect(fails { $0.before = EventTime(milliseconds: 1_000) })
        #expect(fails { $0.correlationID = "other" })
    }

    @Test func `ages and times are read, and ages written`() {
        let now = EventTime(milliseconds: 1_000_000_000)
        #expect(Age.time("90s", now: now)?.milliseconds == 999_910_000)
        #expect(Age.time("2h", now: now)?.milliseconds == 992_800_000)
        #expect(Age.time("1970-01-01T00:00:01Z")?.milliseconds == 1000)
        for text in ["", "h", "-1h", "1.5h", "2w", "99999999999999999d"] { #expect(Age.time(text, now: now) == nil) }
        #expect(Age.text(of: EventTime(milliseconds: 999_955_000), now: now) == "45s")
        #expect(Age.text(of: EventTime(milliseconds: 992_500_000), now: now) == "2h 05m")
        #expect(Age.text(of: EventTime(milliseconds: 2_000_000_000), now: now) == "0s")
    }
}
