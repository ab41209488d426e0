/// A publish whose middleware may wait for anything. It ends at its deadline, whatever the middleware does.
final class BoundedPublish<Value: Sendable>: Sendable {
    private enum Progress: Sendable {
        /// The event has not reached the transport.
        case waiting
        case sending
        case sent(Result<Value, any Error>)
        /// The publish has ended, so that nothing may be sent.
        case closed
    }

    private let progress = Locked(Progress.waiting)
    private let outcome = OneShot<Result<Value, any Error>>()

    /// Runs the middleware in a task of its own, which is cancelled and left behind at the deadline.
    ///
    /// A transport ends at the deadline by itself, so it has a moment more to tell its outcome. That one counts if the
    /// middleware does not end.
    ///
    /// - Parameter chain: The middleware. It calls ``send(_:)`` at its end.
    func run(
        until deadline: AnyClock.Instant,
        clock: AnyClock,
        _ chain: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let work = Task {
            do {
                outcome.resolve(.success(try await chain()))
            } catch {
                outcome.resolve(.failure(error))
            }
        }
        let timer = Task {
            guard (try? await clock.sleep(until: deadline)) != nil else { return }
            if closeUnlessSending() { return outcome.resolve(.failure(PublishChain.tooLate)) }
            guard (try? await clock.sleep(until: deadline.advanced(by: PublishChain.grace))) != nil else { return }
            outcome.resolve(close())
        }
        defer {
            work.cancel()
            timer.cancel()
        }
        return try await outcome.wait(onCancel: { work.cancel() }).get()
    }

    /// Passes the event to the transport, unless the publish has ended.
    func send(_ body: () async throws -> Value) async throws -> Value {
        let isOpen = progress.withLock { progress in
            if case .closed = progress { return false }
            progress = .sending
            return true
        }
        guard isOpen else { throw PublishChain.tooLate }
        do {
            let value = try await body()
            note(.success(value))
            return value
        } catch {
            note(.failure(error))
            throw error
        }
    }

    private func note(_ result: Result<Value, any Error>) {
        progress.withLock { progress in
            if case .sending = progress { progress = .sent(result) }
        }
    }

    /// Ends the publish if nothing has been sent, and returns whether it did.
    private func closeUnlessSending() -> Bool {
        progress.withLock { progress in
            guard case .waiting = progress else { return false }
            progress = .closed
            return true
        }
    }

    /// Ends the publish, and returns the outcome that the transport has given.
    private func close() -> Result<Value, any Error> {
        progress.withLock { progress in
            defer { progress = .closed }
            if case .sent(let result) = progress { return result }
            return .failure(
                EventBusError(.indeterminate, "the transport gave no outcome before the deadline, so it is unknown")
            )
        }
    }
}
