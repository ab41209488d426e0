internal import Synchronization

/// The evidence about a handler that an acknowledged attempt gives.
enum HandlerEvidence: UInt8, AtomicRepresentable {
    /// Nothing: it was not called, or its failure is the fault of the event.
    case none
    /// It works.
    case works
    /// It failed, and the error was sent to the requester.
    case fails
    /// The handler published an event that can never be published. The handled event may have caused that, and no pause helps.
    case publishedNoEvent

    /// Creates the evidence of a responder's error that was sent to the requester.
    init(of error: any Error) {
        switch error {
        case is any NonRetryable: self = .none
        case let error as EventBusError where error.code.isAboutTheEvent: self = .none
        case let later as RetryLater where !later.countsAsAttempt: self = .none
        case let error as EventBusError where error.code == .rateLimited: self = .none
        default: self = .fails
        }
    }
}

extension Disposition {
    /// Returns a Boolean value indicating whether the handler failed, or `nil` if the attempt gives no evidence.
    func isHandlerFailure(_ evidence: HandlerEvidence) -> Bool? {
        switch self {
        case .acknowledged:
            switch evidence {
            case .none, .publishedNoEvent: nil
            case .works: false
            case .fails: true
            }
        case .retried: evidence == .publishedNoEvent ? nil : true
        case .deferred(_, let failure): failure?.reason == .unavailable ? true : nil
        case .deadLettered where evidence == .publishedNoEvent: nil
        case .deadLettered(let failure):
            [.attemptsExhausted, .retryTimeExhausted, .holdLimit, .unavailable].contains(failure.reason) ? true : nil
        case .requeued: nil
        }
    }

    /// A Boolean value indicating whether another attempt follows because this one failed.
    var isRetry: Bool {
        if case .retried = self { true } else { false }
    }

    /// The failure of an attempt that was not successful.
    var failure: Failure? {
        switch self {
        case .retried(_, let failure), .deadLettered(let failure): failure
        case .deferred(_, let failure): failure
        case .acknowledged, .requeued: nil
        }
    }
}
