import CoreMetrics
import EventBus

extension RedisCache {
    /// Finds, computes or waits for `keys`. This is the work of one flight of a single-flight group.
    ///
    /// The flight is told under which lease it computes a key. Later callers join it only while that lease exists.
    func fill<Value: Codable & Sendable>(
        _ keys: [String],
        of flight: SingleFlight.FlightID,
        as type: Value.Type,
        _ options: CacheOptions,
        beyond early: [String: Duration],
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
            let looks = await look(
                for: watched,
                options,
                accepting: .zero,
                token: token,
                beyond: early,
                ignoring: undecodable
            )
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
                case .hit(let stored, _, _):
                    if let value = decoded(type, from: stored)?.value {
                        values[key] = value
                        flights.note(nil, of: [key], for: flight)
                    } else {
                        undecodable.insert(key)
                        missing.append(key)
                        pause = .zero
                    }
                case .none: flights.note(nil, of: [key], for: flight)
                case .compute:
                    leased.append(key)
                    flights.note(token, of: [key], for: flight)
                case .busy(let left):
                    missing.append(key)
                    pause = min(pause ?? left, left)
                // After a failure elsewhere, each process tries once, so that its callers soon get their own error.
                case .miss, .failedLately, .failed:
                    unleased.append(key)
                    let isFailedLately = if case .failedLately = look { true } else { false }
                    flights.note(isFailedLately ? CacheScripts.failed : nil, of: [key], for: flight)
                }
            }
            if !leased.isEmpty {
                let computed = try await computeLeased(leased, by: token, options, compute)
                values.merge(computed) { $1 }
            }
            if !unleased.isEmpty {
                // Without the server nobody knows who else computes, so the number of computations is limited.
                let keys = unleased
                // The lease may have been granted although the answer was lost.
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

    /// Serves stale values for the keys whose computation failed, or throws the error of the computation.
    ///
    /// Entries in memory may have been removed elsewhere while changes are not reported, so they are served only for keys
    /// that the server cannot be asked for.
    func fallBack<Value: Codable & Sendable>(
        on failures: [String: any Error],
        _ found: inout LookupResult<Value>,
        as type: Value.Type,
        _ options: CacheOptions
    ) async throws {
        var fallback = LookupResult<Value>()
        fallback.missing = Array(failures.keys)
        if options.staleOnError > .zero {
            fallback = lookInMemory(for: fallback.missing, as: type, options, accepting: options.staleOnError)
            if !fallback.missing.isEmpty {
                await lookOnServer(&fallback, as: type, options, accepting: options.staleOnError)
            }
            if !fallback.unanswered.isEmpty {
                let kept = lookInMemory(
                    for: fallback.unanswered,
                    as: type,
                    options,
                    accepting: options.staleOnError,
                    evenIfIncoherent: true
                )
                let unanswered = Set(fallback.unanswered)
                fallback.missing = fallback.missing.filter { !unanswered.contains($0) } + kept.missing
                fallback.values.merge(kept.values) { $1 }
                fallback.stale += kept.stale
            }
            metrics.stale.increment(by: fallback.stale.count)
        }
        if let key = fallback.missing.first, let error = failures[key] { throw error }
        found.values.merge(fallback.values) { $1 }
    }

    /// Computes `keys` under leases that are renewed meanwhile, and stores the results.
    private func computeLeased<Value: Codable & Sendable>(
        _ keys: [String],
        by token: String,
        _ options: CacheOptions,
        _ compute: @Sendable @escaping ([String]) async throws -> [String: Value]
    ) async throws -> [String: Value] {
        metrics.computes.increment()
        return try await withTaskCancellationHandler {
            do {
                let start = clock.now
                // Until the values are stored, because large ones take their time on the way.
                let grants = leases.begin(keys, token)
                defer { leases.end(grants) }
                let computed = try await compute(keys)
                let computing = start.duration(to: clock.now)
                try Task.checkCancellation()
                await store(computed, for: keys, token, options, computing: computing)
                return computed
            } catch {
                giveUp(keys, token, failed: error.isAboutTheCaller ? .zero : options.failureTTL)
                throw error
            }
        } onCancel: {
            // Immediately, because a computation that ignores its cancellation must not keep its keys.
            giveUp(keys, token)
        }
    }

    /// Gives up leases, so that others can compute. Processes that ask within `failed` are told that computing has
    /// failed.
    func giveUp(_ keys: [String], _ token: String, failed: Duration = .zero) {
        let failed = failed > .zero ? failed.wholeMilliseconds : 0
        for key in keys {
            client.valueChannel.post(
                CacheScripts.giveUp,
                keys: [self.keys.lease(key)],
                [.text(token), .text(self.keys.channel), .text("\(process) end \(key)"), .integer(failed)]
            )
        }
    }

    /// Waits for a change of a key, but for at most `limit`, because messages can be lost.
    private func wait(for news: Signal, atMost limit: Duration) async throws {
        let pause = min(limit + .milliseconds(1), .milliseconds(Int64.random(in: 50...100)))
        _ = try await withDeadline(clock.now.advanced(by: pause), clock: clock) { try await news.wait() }
    }
}
