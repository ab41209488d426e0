import EventBus

/// Steps that undo something nobody waits for any longer: each is repeated until the server has answered it, or until
/// what it undoes would have ended by itself.
///
/// A caller may not be kept waiting by a server that says nothing, and what it leaves behind there may not be forgotten
/// either. Steps go out on the connection of the commands they undo, behind them.
final class RedisCleanup: Sendable {
    struct Step: Sendable {
        let script: RedisScript
        let keys: [String]
        let arguments: [RedisArgument]
        /// For how long it is worth repeating.
        let limit: Duration
    }

    /// So many are repeated at a time; further ones are sent once.
    static let capacity = 1000

    private let client: RedisClient
    private let underway = Locked(0)

    init(_ client: RedisClient) {
        self.client = client
    }

    /// How many steps were not answered yet.
    var count: Int { underway.withLock { $0 } }

    /// Carries a step out, and returns when that is done or `grace` is over: then it goes on by itself.
    ///
    /// The cancellation of the calling task changes nothing.
    func run(_ step: Step, grace: Duration) async {
        guard let done = start(step) else { return }
        let clock = AnyClock.continuous
        let deadline = clock.now.advanced(by: grace)
        _ = try? await withoutCancellation { try await withDeadline(deadline, clock: clock) { try await done.wait() } }
    }

    /// Carries a step out without anyone waiting; the signal tells when that is done.
    @discardableResult
    func start(_ step: Step) -> Signal? {
        let isAdmitted = underway.withLock { underway in
            guard underway < Self.capacity else { return false }
            underway += 1
            return true
        }
        guard isAdmitted else {
            client.post(step.script, keys: step.keys, step.arguments)
            return nil
        }
        let done = Signal()
        // Runs here up to the command's way to the connection, so that it is sent before whatever the caller does next.
        Task.immediate {
            await self.repeatUntilAnswered(step)
            self.underway.withLock { $0 -= 1 }
            done.raise()
        }
        return done
    }

    private func repeatUntilAnswered(_ step: Step) async {
        let deadline = ContinuousClock.now.advanced(by: step.limit)
        var backoff = Backoff(
            initial: client.configuration.reconnectDelay,
            maximum: client.configuration.maximumReconnectDelay
        )
        var generator = SystemRandomNumberGenerator()
        while true {
            do {
                _ = try await client.run(step.script, keys: step.keys, step.arguments, isIdempotent: true)
                return
            } catch let error as EventBusError where error.isTransient {
                let pause = backoff.pause(using: &generator)
                backoff.noteFailure()
                guard ContinuousClock.now.advanced(by: pause) < deadline else { return }
                try? await Task.sleep(for: pause)
            } catch {
                // Refused, or the client was closed: there is no use in asking again.
                return
            }
        }
    }
}
