import EventBus

extension CacheConformance {
    var flights: [ConformanceCheck] {
        [
            check("concurrent callers wait for one computation") { setup in
                let calls = EventLog<Int>()
                let asked = EventLog<Int>()
                let gate = Gate()
                let values = try await withThrowingTaskGroup(of: Int.self) { group in
                    for number in 0..<100 {
                        group.addTask {
                            asked.note(number)
                            return try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) {
                                await gate.pass()
                                return calls.note(1)
                            }
                        }
                    }
                    try await eventually("all should ask") { asked.count == 100 }
                    gate.open()
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                try expect(calls.count == 1, "it was computed \(calls.count) times")
                try expect(values == Array(repeating: 1, count: 100), "not all got the value")
            },
            check("a computation's error reaches all waiting callers, and is not remembered beyond its time") { setup in
                var options = setup.long
                options.failureTTL = .zero
                for _ in 0..<2 {
                    do {
                        _ = try await setup.one.value(for: setup.key, as: Int.self, options: options) {
                            throw ComputeFailed()
                        }
                        throw ConformanceFailure("the error of the computation was not thrown")
                    } catch is ComputeFailed {}
                }
                let value = try await setup.one.value(for: setup.key, as: Int.self, options: options) { 1 }
                try expect(value == 1, "after the errors the value is \(value)")
            },
            check("an error of a computation is shared with callers that ask soon afterwards") { setup in
                var options = setup.long
                options.failureTTL = .seconds(60)
                let calls = EventLog<Int>()
                for _ in 0..<100 {
                    do {
                        _ = try await setup.one.value(for: setup.key, as: Int.self, options: options) {
                            calls.note(1)
                            throw ComputeFailed()
                        }
                        throw ConformanceFailure("the error of the computation was not thrown")
                    } catch is ComputeFailed {}
                }
                try expect(calls.count == 1, "it was computed \(calls.count) times")
                // A change of the key ends that.
                try await setup.one.remove(setup.key)
                let value = try await setup.one.value(for: setup.key, as: Int.self, options: options) { 1 }
                try expect(value == 1, "after the removal the value is \(value)")
            },
            check("a shared error is forgotten when its time is over") { setup in
                var options = setup.long
                options.failureTTL = .milliseconds(50)
                do {
                    _ = try await setup.one.value(for: setup.key, as: Int.self, options: options) {
                        throw ComputeFailed()
                    }
                } catch is ComputeFailed {}
                try await eventually("it should be computed again") {
                    (try? await setup.one.value(for: setup.key, as: Int.self, options: options) { 1 }) == 1
                }
            },
            check("a failed refresh in the background is not repeated immediately") { setup in
                var options = setup.short
                options.staleWhileRevalidate = .seconds(60)
                options.failureTTL = .seconds(60)
                _ = try await setup.one.value(for: setup.key, as: Int.self, options: options) { 1 }
                try await setup.outlastTTL()
                let calls = EventLog<Int>()
                let frozen = options
                let ask: @Sendable () async throws -> Int = {
                    try await setup.one.value(for: setup.key, as: Int.self, options: frozen) {
                        calls.note(1)
                        throw ComputeFailed()
                    }
                }
                try await eventually("it should be renewed behind") {
                    try expect(try await ask() == 1, "the stale value was not served")
                    return calls.count > 0
                }
                for _ in 0..<100 { try expect(try await ask() == 1, "the stale value was not served") }
                try expect(calls.count == 1, "it was computed \(calls.count) times")
            },
            check("a cancelled caller leaves, and the computation continues for the others") { setup in
                let gate = Gate()
                let started = Gate()
                let ask: @Sendable () async throws -> Int = {
                    try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) {
                        started.open()
                        await gate.pass()
                        try Task.checkCancellation()
                        return 1
                    }
                }
                let first = Task { try await ask() }
                await started.pass()
                let joined = Gate()
                let both = [setup.key, "\(setup.key)-more"]
                let second = Task {
                    try await setup.one.values(for: both, as: Int.self, options: setup.long) { missing in
                        // A key that nobody computes yet is computed once, after the others have been joined.
                        joined.open()
                        try expect(missing == [both[1]], "what the first computes was to be computed again")
                        await gate.pass()
                        return [both[1]: 2]
                    }
                }
                await joined.pass()
                first.cancel()
                do {
                    _ = try await first.value
                    throw ConformanceFailure("who was cancelled got a value that was not there yet")
                } catch is CancellationError {}
                gate.open()
                let value = try await second.value
                try expect(value == [both[0]: 1, both[1]: 2], "the other got \(value)")
            },
            check("a computation is cancelled when all callers have left") { setup in
                let started = Gate()
                let ended = Gate()
                let task = Task {
                    try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) {
                        started.open()
                        defer { ended.open() }
                        try await Task.sleep(for: .seconds(60))
                        return 1
                    }
                }
                await started.pass()
                task.cancel()
                _ = await task.result
                await ended.pass()
                let value = try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) { 2 }
                try expect(value == 2, "the next to ask got \(value)")
            },
            check("a computation that takes too long is given up, even if it ignores its cancellation") { setup in
                let gate = Gate()
                defer { gate.open() }
                var options = setup.long
                options.computeTimeout = .milliseconds(50)
                options.failureTTL = .zero
                try await expectError(.timedOut, from: "value") {
                    _ = try await setup.one.value(for: setup.key, as: Int.self, options: options) {
                        await gate.pass()
                        return 1
                    }
                }
                let value = try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) { 2 }
                try expect(value == 2, "the next to ask got \(value)")
            },
        ]
    }
}
