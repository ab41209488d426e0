import EventBus

extension CacheConformance {
    var reentrancy: [ConformanceCheck] {
        [
            check("a computation that asks for its own key fails immediately, and the error names the key") { setup in
                do {
                    _ = try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) {
                        try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) { 1 }
                    }
                    throw ConformanceFailure("a computation got the value that it computes")
                } catch let error as EventBusError where error.code == .reentrant {
                    try expect(error.message.contains(setup.key), "the error does not name the key: \(error)")
                }
                let value = try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) { 2 }
                try expect(value == 2, "afterwards the value is \(value)")
            },
            check("a computation that asks for its own key through another fails immediately") { setup in
                let inner = "\(setup.key)-inner"
                try await expectError(.reentrant, from: "a circle of two keys") {
                    _ = try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) {
                        try await setup.one.value(for: inner, as: Int.self, options: setup.long) {
                            try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) { 1 }
                        }
                    }
                }
            },
            check("two computations that ask for each other's keys end immediately") { setup in
                let keys = ["\(setup.key)-a", "\(setup.key)-b"]
                let begun = EventLog<Int>()
                let refused = EventLog<Int>()
                let ask: @Sendable (Int) async throws -> Int = { number in
                    try await setup.one.value(for: keys[number], as: Int.self, options: setup.long) {
                        begun.note(number)
                        try await eventually("both should begin") { begun.count == 2 }
                        do {
                            return try await setup.one.value(for: keys[1 - number], as: Int.self, options: setup.long) {
                                throw ConformanceFailure("a key that is being computed was computed again")
                            }
                        } catch let error as EventBusError where error.code == .reentrant {
                            refused.note(number)
                            return number
                        }
                    }
                }
                async let first = ask(0)
                async let second = ask(1)
                let values = try await (first, second)
                try expect(refused.count == 1, "\(refused.count) of two were refused")
                try expect(values.0 == values.1, "the values are \(values)")
            },
            check("a computation may ask for other keys") { setup in
                let value = try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) {
                    let inner = try await setup.one.value(for: "\(setup.key)-1", as: Int.self, options: setup.long) {
                        1
                    }
                    let same = try await setup.one.value(for: "\(setup.key)-1", as: Int.self, options: setup.long) { 9 }
                    return inner + same
                }
                try expect(value == 2, "the value is \(value)")
            },
            check("keys and tags that differ only in Unicode normalization are different") { setup in
                let keys = ["\(setup.key)-caf\u{E9}", "\(setup.key)-cafe\u{301}"]
                for (number, key) in keys.enumerated() {
                    var options = setup.long
                    options.tags = [key]
                    try await setup.one.set(number, for: key, options: options)
                }
                for (number, key) in keys.enumerated() {
                    try await setup.expect(number, for: key, "after both were set")
                }
                try await setup.one.removeAll(tag: keys[0])
                try await setup.expectNone(for: keys[0], "after its tag was removed")
                try await setup.expect(1, for: keys[1], "after the other tag was removed")
                try await expectError(.invalidName, from: "asking for both in one call") {
                    _ = try await setup.one.values(for: keys, as: Int.self, options: setup.long) { _ in [:] }
                }
            },
        ]
    }
}
