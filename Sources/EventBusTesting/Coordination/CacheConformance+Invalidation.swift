import EventBus

extension CacheConformance {
    var invalidation: [ConformanceCheck] {
        [
            check("a removed entry is gone for every instance") { setup in
                try await setup.one.set(1, for: setup.key, options: setup.long)
                try await setup.expect(1, for: setup.key, "after it was set")
                try await setup.other.remove(setup.key)
                try await setup.expectNone(for: setup.key, "after its removal")
                try await setup.other.remove(setup.key)
            },
            check("removing a tag removes the entries that have it, and no others") { setup in
                var tagged = setup.long
                tagged.tags = [setup.key, "\(setup.key)-second"]
                var untagged = setup.long
                untagged.tags = ["\(setup.key)-else"]
                let keys = (0..<3).map { "\(setup.key)-\($0)" }
                for key in keys { try await setup.one.set(1, for: key, options: tagged) }
                try await setup.one.set(1, for: setup.key, options: untagged)
                try await setup.other.removeAll(tag: setup.key)
                for key in keys { try await setup.expectNone(for: key, "after the removal of its tag") }
                try await setup.expect(1, for: setup.key, "after the removal of a tag it does not have")
            },
            check("an entry that was stored again without a tag outlives the tag") { setup in
                var tagged = setup.long
                tagged.tags = [setup.key]
                try await setup.one.set(1, for: setup.key, options: tagged)
                try await setup.one.set(2, for: setup.key, options: setup.long)
                try await setup.one.removeAll(tag: setup.key)
                try await setup.expect(2, for: setup.key, "after the removal of a tag it has no more")
            },
            check("a removal is carried out even if the calling task is cancelled") { setup in
                var tagged = setup.long
                tagged.tags = [setup.key]
                let keys = (0..<2).map { "\(setup.key)-\($0)" }
                try await setup.one.set(1, for: keys[0], options: setup.long)
                try await setup.one.set(1, for: keys[1], options: tagged)
                let removing = Task {
                    withUnsafeCurrentTask { $0?.cancel() }
                    try await setup.other.remove(keys[0])
                    try await setup.other.removeAll(tag: setup.key)
                }
                try await removing.value
                for key in keys { try await setup.expectNone(for: key, "after its removal by a cancelled task") }
            },
            check("a removal invalidates computations that began before it") { setup in
                try await Self.expectVoid(setup, setup.long) { try await setup.other.remove(setup.key) }
            },
            check("the removal of a tag invalidates computations that began before it") { setup in
                var options = setup.long
                options.tags = [setup.key]
                try await Self.expectVoid(setup, options) { try await setup.other.removeAll(tag: setup.key) }
            },
            check("a value that is set outlives a computation that began before") { setup in
                let (computing, gate) = await Self.beginComputing(1, setup, setup.long)
                try await setup.other.set(2, for: setup.key, options: setup.long)
                gate.open()
                _ = try await computing.value
                try await setup.expect(2, for: setup.key, "after a computation that began before it was set")
            },
            check("a caller that asks after a removal does not wait for a computation that began before it") { setup in
                let (computing, gate) = await Self.beginComputing(1, setup, setup.long)
                try await setup.one.remove(setup.key)
                let value = try await setup.one.value(for: setup.key, as: Int.self, options: setup.long) { 2 }
                try expect(value == 2, "the value is \(value)")
                gate.open()
                _ = try await computing.value
                try await setup.expect(2, for: setup.key, "after the voided computation")
            },
        ]
    }

    /// Starts a computation that ends when the gate is opened.
    private static func beginComputing(
        _ value: Int,
        _ setup: Setup,
        _ options: CacheOptions
    ) async -> (task: Task<Int, any Error>, gate: Gate) {
        let gate = Gate()
        let started = Gate()
        let task = Task {
            try await setup.one.value(for: setup.key, as: Int.self, options: options) {
                started.open()
                await gate.pass()
                return value
            }
        }
        await started.pass()
        return (task, gate)
    }

    private static func expectVoid(
        _ setup: Setup,
        _ options: CacheOptions,
        _ invalidate: () async throws -> Void
    ) async throws {
        let (computing, gate) = await beginComputing(1, setup, options)
        defer { gate.open() }
        try await invalidate()
        gate.open()
        let value = try await computing.value
        try expect(value == 1, "who waited for the computation got \(value)")
        try await setup.expectNone(for: setup.key, "after a computation that was voided")
    }
}
