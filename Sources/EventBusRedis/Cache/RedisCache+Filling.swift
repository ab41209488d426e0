import CoreMetrics
import EventBus

extension RedisCache {
    /// For how long an entry is kept, and how much of that past its freshness.
    struct Life {
        let keep: Duration
        let staleness: Duration
    }

    /// Finds, computes or waits for `keys`: the work of one flight.
    func fill<Value: Codable & Sendable>(
        _ keys: [String],
        as type: Value.Type,
        _ options: CacheOptions,
        compute: @Sendable @escaping ([String]) async throws -> [String: Value]
    ) async throws -> [String: Value] {
        let token = process + String.randomHexadecimal(words: 1)
        var values: [String: Value] = [:]
        var undecodable: Set<String> = []
        var missing = keys
        while !missing.isEmpty {
            let watched = missing
            let news = level.watch(watched)
            defer { level.unwatch(news, watched) }
            let looks = await look(for: watched, options, accepting: .zero, token: token, ignoring: undecodable)
            if Task.isCancelled {
                giveUp(watched, token)
                throw CancellationError()
            }
            var leased: [String] = []
            var unleased: [String] = []
            var pause: Duration?
            missing = []
            for (key, look) in zip(watched, looks) {
                switch look {
                case .hit(let bytes, _, _):
                    if let value = try? codec.decode(type, from: bytes) {
                        values[key] = value
                    } else {
                        undecodable.insert(key)
                        missing.append(key)
                        pause = .zero
                    }
                case .none: break
                case .compute: leased.append(key)
                case .busy(let left):
                    missing.append(key)
                    pause = min(pause ?? left, left)
                case .miss, .failed: unleased.append(key)
                }
            }
            if !leased.isEmpty {
                let computed = try await computeLeased(leased, by: token, options, compute)
                values.merge(computed) { $1 }
            }
            if !unleased.isEmpty {
                // Without the server nobody knows who else computes, so there is a limit.
                let keys = unleased
                // Its answer may have been lost, and not the lease.
                giveUp(keys, token)
                metrics.computes.increment()
                values.merge(try await gate.run { try await compute(keys) }) { $1 }
            }
            if !missing.isEmpty, leased.isEmpty, let pause, pause > .zero {
                metrics.waits.increment()
                try await wait(for: news, atMost: pause)
            }
        }
        return values
    }

    /// Serves what is at hand for the keys whose computation failed, or throws why it did.
    func fallBack<Value: Codable & Sendable>(
        on failures: [String: any Error],
        _ found: inout Found<Value>,
        as type: Value.Type,
        _ options: CacheOptions
    ) async throws {
        var fallback = Found<Value>()
        fallback.missing = Array(failures.keys)
        if options.staleOnError > .zero {
            fallback = lookInMemory(
                for: fallback.missing,
                as: type,
                options,
                accepting: options.staleOnError,
                evenIfIncoherent: true
            )
            if !fallback.missing.isEmpty {
                await lookOnServer(&fallback, as: type, options, accepting: options.staleOnError)
            }
            metrics.stale.increment(by: fallback.stale.count)
        }
        if let key = fallback.missing.first, let error = failures[key] { throw error }
        found.values.merge(fallback.values) { $1 }
    }

    /// Computes `keys` under leases that are renewed meanwhile, and stores what came of it.
    private func computeLeased<Value: Codable & Sendable>(
        _ keys: [String],
        by token: String,
        _ options: CacheOptions,
        _ compute: @Sendable @escaping ([String]) async throws -> [String: Value]
    ) async throws -> [String: Value] {
        metrics.computes.increment()
        return try await withTaskCancellationHandler {
            do {
                // The leases come first: a removal of the tag that finds a key of its own voids the lease.
                let isNoted = try await noteBeforeComputing(keys, options)
                let computed = try await whileRenewing(keys, token) { try await compute(keys) }
                try Task.checkCancellation()
                if isNoted {
                    await store(computed, for: keys, token, options)
                } else {
                    // A removal of its tag would not find it.
                    giveUp(keys, token)
                }
                return computed
            } catch {
                giveUp(keys, token)
                throw error
            }
        } onCancel: {
            // At once: a computation that ignores its cancellation must not hold its keys.
            giveUp(keys, token)
        }
    }

    /// Notes the tags of what is about to be computed; false if the server did not, so that nothing may be stored.
    private func noteBeforeComputing(_ keys: [String], _ options: CacheOptions) async throws -> Bool {
        // The longest that an entry can be there from now on: no draw of the jitter, and it is stored while its lease is
        // there, which is renewed until the computation is given up.
        let longest = max(options.ttl, options.negativeTTL ?? .zero) + options.staleness
        do {
            try await note(options.tags, of: keys, for: longest + options.computeTimeout + self.options.lease)
            return true
        } catch let error as CancellationError {
            throw error
        } catch {
            metrics.errors.increment()
            return false
        }
    }

    private func whileRenewing<Value: Sendable>(
        _ keys: [String],
        _ token: String,
        _ body: @Sendable @escaping () async throws -> [String: Value]
    ) async throws -> [String: Value] {
        let lease = options.lease
        return try await withThrowingTaskGroup(of: [String: Value]?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                while (try? await self.clock.sleep(for: lease / 3)) != nil {
                    let arguments: [RedisArgument] = [.text(token), .integer(lease.wholeMilliseconds)]
                    _ = try? await self.client.run(
                        CacheScripts.renew,
                        each: keys.map { ([self.keys.lease($0)], arguments) }
                    )
                }
                return nil
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    private func store<Value: Codable & Sendable>(
        _ values: [String: Value],
        for keys: [String],
        _ token: String,
        _ options: CacheOptions
    ) async {
        var calls: [RedisClient.Call] = []
        for key in keys {
            let names = [self.keys.entry(key), self.keys.lease(key)]
            let arguments: [RedisArgument]
            if let value = values[key] {
                guard let bytes = try? codec.encode(value) else {
                    // What cannot be stored is still a value.
                    metrics.errors.increment()
                    giveUp([key], token)
                    continue
                }
                arguments = storeArguments(
                    token: token,
                    life(of: options.ttl, options),
                    field: "v",
                    bytes,
                    key,
                    options
                )
            } else if let ttl = options.negativeTTL {
                arguments = storeArguments(token: token, life(of: ttl, options), field: "n", [1], key, options)
            } else {
                arguments = storeArguments(token: token, life(of: options.ttl, options), field: "-", [], key, options)
            }
            calls.append((names, arguments))
        }
        let replies = try? await client.run(CacheScripts.store, each: calls)
        let failures = replies?.count { if case .error = $0 { true } else { false } } ?? keys.count
        if failures > 0 {
            metrics.errors.increment(by: failures)
            giveUp(keys, token)
        }
    }

    private func giveUp(_ keys: [String], _ token: String) {
        for key in keys {
            client.post(
                CacheScripts.giveUp,
                keys: [self.keys.lease(key)],
                [.text(token), .text(self.keys.channel), .text("\(process) end \(key)")]
            )
        }
    }

    /// Waits for news of a key, and asks again after a while: news can be lost.
    private func wait(for news: Signal, atMost limit: Duration) async throws {
        let pause = min(limit + .milliseconds(1), .milliseconds(Int64.random(in: 50...100)))
        _ = try await withDeadline(clock.now.advanced(by: pause), clock: clock) { try await news.wait() }
    }

    // MARK: what is sent

    /// Notes which keys have the tags, so that they are found when a tag is removed.
    func note(_ tags: Set<String>, of keys: [String], for duration: Duration) async throws {
        guard !tags.isEmpty else { return }
        let replies = try await client.run(
            CacheScripts.tag,
            each: tags.sorted().flatMap { tag in
                keys.map { key in
                    ([self.keys.tag(tag)], [.text(key), .integer(duration.wholeMilliseconds)])
                }
            }
        )
        for reply in replies { _ = try reply.orThrow() }
    }

    func life(of ttl: Duration, _ options: CacheOptions) -> Life {
        let staleness = options.staleness
        return Life(keep: options.freshness(of: ttl) + staleness, staleness: staleness)
    }

    func storeArguments(
        token: String,
        _ life: Life,
        field: String,
        _ bytes: [UInt8],
        _ key: String,
        _ options: CacheOptions
    ) -> [RedisArgument] {
        let staleness = life.staleness > .zero ? life.staleness.wholeMilliseconds : 0
        return [
            .text(token), .integer(life.keep.wholeMilliseconds), .integer(staleness), .text(field), .bytes(bytes),
            .text(keys.channel), token.isEmpty ? voiding(key) : .text("\(process) end \(key)"),
        ] + options.tags.sorted().map { .text($0) }
    }

    func voiding(_ key: String) -> RedisArgument { .text("\(process) void \(key)") }
}
