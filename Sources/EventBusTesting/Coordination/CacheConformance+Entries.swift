import EventBus

extension CacheConformance {
    var entries: [ConformanceCheck] {
        [
            check("a value is computed once and served from then on, to every instance") { setup in
                let calls = EventLog<Int>()
                for cache in [setup.one, setup.one, setup.other] {
                    let value = try await cache.value(for: setup.key, as: Price.self, options: setup.long) {
                        Price(amount: calls.note(1), currency: "EUR")
                    }
                    try expect(value == Price(amount: 1, currency: "EUR"), "the value is \(value)")
                }
                try expect(calls.count == 1, "it was computed \(calls.count) times")
            },
            check("a value whose type is an optional is computed and served like any other") { setup in
                for _ in 0..<2 {
                    let value: Int? = try await setup.one.value(for: setup.key, as: Int?.self, options: setup.long) {
                        7
                    }
                    try expect(value == 7, "the value is \(value, default: "nothing")")
                }
            },
            check("a value is computed again when its time is over") { setup in
                let calls = EventLog<Int>()
                _ = try await setup.one.value(for: setup.key, as: Int.self, options: setup.short) { calls.note(1) }
                try await setup.outlastTTL()
                let value = try await setup.one.value(for: setup.key, as: Int.self, options: setup.short) {
                    calls.note(1)
                }
                try expect(value == 2, "the value is that of computation \(value)")
            },
            check("a value that was set is served, and replaced by the next one") { setup in
                try await setup.one.set(1, for: setup.key, options: setup.long)
                try await setup.expect(1, for: setup.key, "after it was set")
                try await setup.other.set(2, for: setup.key, options: setup.long)
                try await eventually("the second value should be seen") {
                    try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) { 3 } == 2
                }
            },
            check("the absence of a value is cached if requested") { setup in
                let calls = EventLog<Int>()
                var options = setup.long
                options.negativeTTL = .seconds(60)
                for _ in 0..<3 {
                    let value = try await setup.one.value(for: setup.key, as: Int.self, options: options) {
                        calls.note(1)
                        return nil as Int?
                    }
                    try expect(value == nil, "the value is \(value as Int?, default: "nothing")")
                }
                try expect(calls.count == 1, "it was computed \(calls.count) times")
                let value = try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) { 7 }
                try expect(value == 7, "who does not wish so got \(value)")
            },
            check("the absence of a value is not cached otherwise") { setup in
                let calls = EventLog<Int>()
                for _ in 0..<3 {
                    _ = try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) {
                        calls.note(1)
                        return nil as Int?
                    }
                }
                try expect(calls.count == 3, "it was computed \(calls.count) of 3 times")
            },
            check("a value of another type is computed again") { setup in
                try await setup.one.set(Price(amount: 1, currency: "EUR"), for: setup.key, options: setup.long)
                let value = try await setup.one.value(for: setup.key, as: [Int].self, options: setup.long) { [4, 2] }
                try expect(value == [4, 2], "the value is \(value)")
            },
            check("a batch computes missing values with one call") { setup in
                let keys = (0..<10).map { "\(setup.key)-\($0)" }
                for key in keys[0..<3] { try await setup.one.set(key, for: key, options: setup.long) }
                let calls = EventLog<[String]>()
                for _ in 0..<2 {
                    let values = try await setup.one.values(
                        for: keys + keys,
                        as: String.self,
                        options: setup.long
                    ) { missing in
                        calls.note(missing)
                        return Dictionary(missing.map { ($0, $0) }) { first, _ in first }
                    }
                    try expect(values == Dictionary(uniqueKeysWithValues: keys.map { ($0, $0) }), "got \(values)")
                }
                try expect(calls.entries.map { $0.sorted() } == [keys[3...].sorted()], "computed: \(calls.entries)")
            },
            check("a batch leaves out keys without a value") { setup in
                let keys = [setup.key + "-a", setup.key + "-b"]
                let values = try await setup.one.values(for: keys, as: Int.self, options: setup.long) { [$0[0]: 1] }
                try expect(values == [keys[0]: 1], "the values are \(values)")
                let none = try await setup.one.values(for: [], as: Int.self, options: setup.long) { _ in [:] }
                try expect(none.isEmpty, "no keys gave \(none)")
            },
        ]
    }
}
