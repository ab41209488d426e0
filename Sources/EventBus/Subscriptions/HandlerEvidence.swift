internal import Synchronization

/// What an attempt that ends with an acknowledgement tells of the handler.
enum HandlerEvidence: UInt8, AtomicRepresentable {
    /// Nothing: it was not called, or its failure is the fault of the event.
    case none
    /// It works.
    case works
    /// It failed, and its requester was told.
    case fails

    /// Creates what a responder's error tells, of which the requester was told.
    init(of error: any Error) {
        switch error {
        case is any NonRetryable: self = .none
        case let error as EventBusError where error.code == .decodingFailed: self = .none
        case let later as RetryLater where !later.countsAsAttempt: self = .none
        default: self = .fails
        }
    }
}

extension Disposition {
    /// Returns a Boolean value indicating whether the attempt tells of a failing handler, or `nil` if it tells nothing.
    func isHandlerFailure(_ evidence: HandlerEvidence) -> Bool? {
        switch self {
        case .acknowledged:
            switch evidence {
            case .none: nil
            case .works: false
            case .fails: true
            }
        case .retried: true
        case .deferred(_, let failure): failure?.reason == .unavailable ? true : nil
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
