import EventBus

extension CacheConformance {
    var staleness: [ConformanceCheck] {
        [
            check("a stale value is served while a new one is computed") { setup in
                let gate = Gate()
                defer { gate.open() }
                var options = setup.short
                options.staleWhileRevalidate = .seconds(60)
                try await setup.one.set(1, for: setup.key, options: options)
                try await setup.outlastTTL()
                let calls = EventLog<Int>()
                let ask: @Sendable () async throws -> Int = { [options] in
                    try await setup.one.value(for: setup.key, as: Int.self, options: options) {
                        calls.note(1)
                        await gate.pass()
                        return 2
                    }
                }
                for _ in 0..<3 {
                    let value = try await ask()
                    try expect(value == 1, "instead of the stale value it served \(value)")
                }
                try await eventually("a new value should be computed") { calls.count > 0 }
                try expect(calls.count == 1, "it was computed \(calls.count) times at once")
                gate.open()
                try await eventually("the new value should be served") { try await ask() == 2 }
            },
            check("early refresh recomputes a value before it expires") { setup in
                let gate = Gate()
                defer { gate.open() }
                let calls = EventLog<Int>()
                let ask: @Sendable (Double) async throws -> Int = { eagerness in
                    var options = setup.long
                    options.earlyRefresh = eagerness
                    return try await setup.one.value(for: setup.key, as: Int.self, options: options) {
                        let number = calls.note(1)
                        if number == 1 {
                            // A computation that takes no time is never repeated early.
                            try await Task.sleep(for: .milliseconds(2))
                        } else {
                            await gate.pass()
                        }
                        return number
                    }
                }
                for _ in 0..<20 {
                    let value = try await ask(0)
                    try expect(value == 1, "without the wish the value is that of computation \(value)")
                }
                try expect(calls.count == 1, "without the wish it was computed \(calls.count) times")
                // With such an eager refresh, a minute counts as close to the end.
                for _ in 0..<20 {
                    let value = try await ask(1e9)
                    try expect(value == 1, "instead of the fresh value it served \(value)")
                }
                try await eventually("a new value should be computed") { calls.count > 1 }
                try expect(calls.count == 2, "it was computed \(calls.count - 1) times at once")
                gate.open()
                try await eventually("the new value should be served") { try await ask(0) > 1 }
            },
            check("a stale value is not served to callers that do not accept it") { setup in
                var options = setup.short
                options.staleWhileRevalidate = .seconds(60)
                try await setup.one.set(1, for: setup.key, options: options)
                try await setup.outlastTTL()
                let value = try await setup.one.value(for: setup.key, as: Int.self, options: setup.short) { 2 }
                try expect(value == 2, "the value is \(value)")
            },
            check("a stale value is served when the computation fails, within the grace") { setup in
                var options = setup.short
                options.staleOnError = .seconds(60)
                options.failureTTL = .zero
                try await setup.one.set(1, for: setup.key, options: options)
                try await setup.outlastTTL()
                for _ in 0..<2 {
                    let value = try await setup.one.value(for: setup.key, as: Int.self, options: options) {
                        throw ComputeFailed()
                    }
                    try expect(value == 1, "the value is \(value)")
                }
                let value = try await setup.one.value(for: setup.key, as: Int.self, options: options) { 2 }
                try expect(value == 2, "with a computation that works the value is \(value)")
            },
            check("a stale value is not served when the computation fails after the grace") { setup in
                var options = setup.short
                options.staleOnError = .milliseconds(1)
                try await setup.one.set(1, for: setup.key, options: options)
                try await setup.outlastTTL()
                do {
                    let value = try await setup.one.value(for: setup.key, as: Int.self, options: options) {
                        throw ComputeFailed()
                    }
                    throw ConformanceFailure("it served \(value)")
                } catch is ComputeFailed {}
            },
        ]
    }
}
