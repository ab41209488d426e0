import EventBus
import Testing

@testable import EventBusRedis

@Suite
struct FirstLevelTableTests {
    private let start = AnyClock.Instant(offset: .zero)

    private func entry(_ value: Int) -> FirstLevelTable.Entry {
        FirstLevelTable.Entry(
            value: value,
            freshUntil: start.advanced(by: .seconds(10)),
            keepUntil: start.advanced(by: .seconds(20))
        )
    }

    private func table(capacity: Int = 3, holding keys: [String] = []) -> FirstLevelTable {
        var table = FirstLevelTable(capacity: capacity)
        table.becomeCoherent()
        for (value, key) in keys.enumerated() {
            let marker = table.beginReading(key)
            table.endReading(key, marker: marker, found: entry(value))
        }
        return table
    }

    private func value(_ key: String, in table: inout FirstLevelTable) -> Int? {
        table.entry(for: key, now: start)?.value as? Int
    }

    @Test func `what was read is kept until its time is over`() {
        var table = table(holding: ["a", "b"])
        #expect(value("a", in: &table) == 0)
        #expect(value("b", in: &table) == 1)
        #expect(table.entry(for: "a", now: start.advanced(by: .seconds(20))) == nil)
        #expect(table.count == 1)
    }

    private func entry(_ value: Int, size: Int = 0, tags: [String] = []) -> FirstLevelTable.Entry {
        var entry = entry(value)
        (entry.size, entry.tags) = (size, tags)
        return entry
    }

    @Test func `values take no more bytes than they may, and a larger one is not kept`() {
        var table = FirstLevelTable(capacity: 1000, byteCapacity: 100)
        table.becomeCoherent()
        func read(_ key: String, size: Int) {
            let marker = table.beginReading(key)
            table.endReading(key, marker: marker, found: entry(0, size: size))
        }
        for number in 0..<50 { read("key-\(number)", size: 30) }
        #expect(table.count == 3 && table.size == 90)
        read("large", size: 101)
        #expect(table.entry(for: "large", now: start) == nil)
        #expect(table.count == 3 && table.size == 90)
        read("whole", size: 100)
        #expect(table.count == 1 && table.size == 100)
        read("whole", size: 10)
        #expect(table.count == 1 && table.size == 10)
        table.invalidate("whole")
        #expect(table.count == 0 && table.size == 0)
    }

    @Test func `removing a tag drops what has it, and what is being read with it`() {
        var table = table()
        func read(_ key: String, tags: [String], meanwhile: () -> Void = {}) {
            let marker = table.beginReading(key)
            meanwhile()
            table.endReading(key, marker: marker, found: entry(1, tags: tags))
        }
        read("a", tags: ["x"])
        read("b", tags: ["y"])
        table.invalidate(tag: "x")
        #expect(value("a", in: &table) == nil)
        #expect(value("b", in: &table) == 1)
        let (a, c) = (table.beginReading("a"), table.beginReading("c"))
        table.invalidate(tag: "x")
        let late = table.beginReading("late")
        table.endReading("a", marker: a, found: entry(2, tags: ["x"]))
        table.endReading("c", marker: c, found: entry(3, tags: ["y"]))
        table.endReading("late", marker: late, found: entry(4, tags: ["x"]))
        #expect(value("a", in: &table) == nil)
        #expect(value("c", in: &table) == 3)
        #expect(value("late", in: &table) == 4)
    }

    @Test func `at hand is what is fresh, of the type that is asked for, and sure to be up to date`() {
        var table = table(holding: ["a"])
        func isAtHand(_ key: String, as type: Any.Type = Int.self, after: Duration = .zero) -> Bool {
            table.freshValue(for: key, as: type, CacheOptions(), now: start.advanced(by: after)) != nil
        }
        #expect(isAtHand("a"))
        #expect(!isAtHand("b"))
        #expect(!isAtHand("a", as: String.self))
        #expect(isAtHand("a", after: .seconds(10) - .nanoseconds(1)))
        #expect(!isAtHand("a", after: .seconds(10)))
        table.becomeIncoherent()
        #expect(!isAtHand("a"))
    }

    @Test func `a value whose key changed while it was read is not kept`() {
        var table = table()
        let first = table.beginReading("a")
        let second = table.beginReading("a")
        table.invalidate("a")
        let third = table.beginReading("a")
        table.endReading("a", marker: first, found: entry(1))
        table.endReading("a", marker: second, found: entry(2))
        #expect(value("a", in: &table) == nil)
        table.endReading("a", marker: third, found: entry(3))
        #expect(value("a", in: &table) == 3)
    }

    @Test func `nothing is served or kept while changes are not heard of`() {
        var table = table(holding: ["a"])
        let before = table.beginReading("b")
        table.becomeIncoherent()
        #expect(value("a", in: &table) == nil)
        #expect(table.entry(for: "a", now: start, evenIfIncoherent: true) != nil)
        let during = table.beginReading("c")
        table.becomeCoherent()
        table.endReading("b", marker: before, found: entry(1))
        table.endReading("c", marker: during, found: entry(1))
        for key in ["a", "b", "c"] { #expect(value(key, in: &table) == nil, "\(key)") }
        #expect(table.count == 0)
    }

    @Test func `the entry that was not read lately makes room`() {
        var table = table(holding: ["a", "b", "c"])
        _ = value("a", in: &table)
        _ = value("c", in: &table)
        table.endReading("d", marker: table.beginReading("d"), found: entry(9))
        #expect(table.count == 3)
        #expect(value("b", in: &table) == nil)
        #expect(value("a", in: &table) == 0)
        #expect(value("d", in: &table) == 9)
    }

    @Test func `a table without room keeps nothing`() {
        var table = table(capacity: 0, holding: ["a"])
        #expect(value("a", in: &table) == nil)
    }

    @Test func `random steps never exceed the capacity or lose the index`() {
        var generator = SystemRandomNumberGenerator()
        var table = table(capacity: 5)
        var latest: [String: Int] = [:]
        for step in 0..<5000 {
            let key = "\(Int.random(in: 0..<12, using: &generator))"
            switch Int.random(in: 0..<4, using: &generator) {
            case 0:
                table.invalidate(key)
                latest[key] = nil
            case 1:
                if let value = value(key, in: &table) { #expect(value == latest[key]) }
            default:
                table.endReading(key, marker: table.beginReading(key), found: entry(step))
                latest[key] = step
            }
            #expect(table.count <= 5)
        }
    }
}
