import ConnectionThread
import EventBus

/// The thread that connects and logs in, which is the only step that may block.
///
/// The connection's thread stays available for deadlines and timers. Resolving a name has no time limit: a cancelled
/// caller continues immediately, and the thread discards the result of the login.
enum LoginThread {
    typealias Outcome = Result<AMQPHandle, AMQPFailure>

    private final class Handover: Sendable {
        private struct State {
            var continuation: CheckedContinuation<Outcome, Never>?
            var early: Outcome?
        }

        private let state = Locked(State())

        func wait(_ continuation: CheckedContinuation<Outcome, Never>) {
            let early: Outcome? = state.withLock { state in
                if state.early == nil { state.continuation = continuation }
                return state.early
            }
            if let early { continuation.resume(returning: early) }
        }

        /// Passes on an outcome. Only the first one counts.
        func settle(_ outcome: Outcome) {
            let continuation: CheckedContinuation<Outcome, Never>? = state.withLock { state in
                if state.early == nil { state.early = outcome }
                defer { state.continuation = nil }
                return state.continuation
            }
            continuation?.resume(returning: outcome)
        }
    }

    /// The size of the stack in bytes. The library decodes the broker's properties, which arrive in frames of 64 KiB,
    /// with a stack frame for each level of nesting.
    private static let stackSize = 8 << 20

    /// Connects to a host and logs in, with the current credentials.
    static func logIn(
        _ configuration: RabbitConfiguration,
        _ host: RabbitConfiguration.Host,
        role: String,
        frameReserve: Int = AMQPHandle.frameReserve
    ) async throws(AMQPFailure) -> AMQPHandle {
        var credentials = configuration.credentials
        if let provider = configuration.credentialsProvider {
            credentials = try await Self.credentials(from: provider, within: configuration.connectTimeout)
        }
        guard !credentials.user.utf8.contains(0), !credentials.password.utf8.contains(0) else {
            throw AMQPFailure(.connectFailed, "the credentials hold a zero byte")
        }
        var parameters = LoginParameters(configuration, host, credentials, role: role)
        parameters.frameReserve = frameReserve
        do throws(AMQPFailure) {
            return try await logIn(parameters)
        } catch {
            var failure = error
            failure.user = credentials.user
            throw failure
        }
    }

    /// Asks the user's closure, which may ignore its cancellation.
    private static func credentials(
        from provider: @escaping @Sendable () async throws -> RabbitConfiguration.Credentials,
        within limit: Duration
    ) async throws(AMQPFailure) -> RabbitConfiguration.Credentials {
        let clock = AnyClock.continuous
        let credentials: RabbitConfiguration.Credentials?
        do {
            credentials = try await withFirmDeadline(clock.now.advanced(by: limit), clock: clock, provider)
        } catch {
            throw AMQPFailure(.connectFailed, "the credentials could not be obtained: \(error)")
        }
        guard let credentials else {
            throw AMQPFailure(.connectFailed, "the credentials were not obtained within \(limit)")
        }
        return credentials
    }

    private static func logIn(_ parameters: LoginParameters) async throws(AMQPFailure) -> AMQPHandle {
        let handover = Handover()
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                handover.wait(continuation)
                let problem = startDetachedThread(name: "eventbus-login", stackSize: stackSize) {
                    handover.settle(attempt(parameters))
                }
                if problem != 0 {
                    handover.settle(
                        .failure(AMQPFailure(.connectFailed, "no thread: \(String(errorNumber: problem))"))
                    )
                }
            }
        } onCancel: {
            handover.settle(.failure(AMQPFailure(.closedByUs, "cancelled while connecting")))
        }
        return try outcome.get()
    }

    private static func attempt(_ parameters: LoginParameters) -> Outcome {
        Result { () throws(AMQPFailure) in
            // The library verifies the certificate against the name that it connects to.
            if parameters.tls != nil { return try attempt(at: parameters.host, parameters) }
            return try attempt(atEachOf: HostAddress.resolve(parameters.host), parameters)
        }
    }

    /// Logs in at the first of the addresses of a host that answers. Each has its own timeout. Blocks meanwhile.
    static func attempt(
        atEachOf addresses: [String],
        _ parameters: LoginParameters
    ) throws(AMQPFailure) -> AMQPHandle {
        var failure = AMQPFailure(.connectFailed, "\(parameters.host) has no address")
        for address in addresses {
            do throws(AMQPFailure) {
                return try attempt(at: address, parameters)
            } catch {
                failure = error
                // The broker has answered, and its other addresses lead to the same broker.
                guard case .connectFailed = error.kind else { throw error }
            }
        }
        throw failure
    }

    private static func attempt(at address: String, _ parameters: LoginParameters) throws(AMQPFailure) -> AMQPHandle {
        var parameters = parameters
        parameters.host = address
        let handle = try AMQPHandle()
        try handle.logIn(parameters)
        return handle
    }
}
