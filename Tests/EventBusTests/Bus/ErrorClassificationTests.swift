import EventBus
import Testing

@Suite("Classification of error codes", .timeLimit(.minutes(1)))
struct ErrorClassificationTests {
    typealias Code = EventBusError.Code

    static let ofTheEvent: [Code] = [
        .invalidTopic, .invalidEnvelope, .encodingFailed, .decodingFailed, .tooLarge, .unsupported,
    ]
    static let retriable: [Code] = [
        .timedOut, .indeterminate, .rejected, .blocked, .unavailable, .lockTimedOut, .mailboxFull, .rateLimited,
    ]
    static let others: [Code] = [
        .invalidName, .invalidConfiguration, .unroutable, .shuttingDown, .shutdownTimedOut, .alreadyRunning,
        .duplicateSubscription, .topologyClash, .accessRefused, .authenticationFailed, .notFound, .newerVersion,
        .staleBinding, .staleDelivery, .remoteFailure, .lockLost, .lockNotOwned, .leaseExpired,
    ]

    @Test("An error about the event is never retriable, and an error of the broker is not about the event")
    func classes() {
        for code in Self.ofTheEvent { #expect(code.isAboutTheEvent && !code.isRetriable && !code.isRefusal, "\(code)") }
        for code in Self.retriable { #expect(!code.isAboutTheEvent && code.isRetriable, "\(code)") }
        for code in Self.others { #expect(!code.isAboutTheEvent && !code.isRetriable, "\(code)") }
        #expect(
            (Self.ofTheEvent + Self.retriable + Self.others).filter(\.isRefusal)
                == [.rejected, .topologyClash, .accessRefused, .notFound]
        )
    }
}
