internal import EventBus

extension RelayMachine {
    /// The outcome of one event.
    enum Outcome: Sendable {
        /// The broker holds it.
        case published
        /// Nobody has subscribed to it.
        case unrouted
        /// The event itself is at fault, whatever the state of the broker.
        case failed(any Error)
        /// The broker refused the event or gave no answer, through no fault of the event.
        case held(any Error)
        /// The delay that is left is longer than the broker can hold the event.
        case early(any Error)
    }
}

extension RelayMachine.Outcome {
    /// Whether the broker answered for the event, so that it takes events.
    var isAnswer: Bool {
        switch self {
        case .published, .unrouted: true
        case .failed, .held, .early: false
        }
    }

    /// The outcome of a publish that failed, with this much of a delay left.
    init(_ error: any Error, delay: Duration = .zero) {
        let code = (error as? EventBusError)?.code
        if code == .unsupported, delay > .zero {
            self = .early(error)
        } else if error is any NonRetryable || code?.isAboutTheEvent == true {
            self = .failed(error)
        } else {
            // Also an error of another's making: it may be about anything, and an event that waits is not lost.
            self = .held(error)
        }
    }
}

extension RelayMachine {
    /// The trouble with the broker, to be logged when it changes.
    enum Trouble: Sendable, Equatable {
        case none
        case outage(any Error)
        case holds(any Error)

        /// Whether both are of one kind, whatever the error.
        static func == (lhs: Trouble, rhs: Trouble) -> Bool {
            switch (lhs, rhs) {
            case (.none, .none), (.outage, .outage), (.holds, .holds): true
            default: false
            }
        }
    }

    /// The present trouble with the broker.
    var trouble: Trouble {
        if let outage { return .outage(outage.error) }
        return held.values.first.map(Trouble.holds) ?? .none
    }
}

// MARK: Limits

extension RelayMachine {
    /// How many batches are under way at once: while the broker confirms one, the next is sent and one more is read.
    static let concurrentBatches = 3
    /// How many batches are under way at once, those included that wait long for an answer.
    static let concurrentSlowBatches = 16
    /// How long a batch is under way before others no longer wait for it.
    static let slowAfter = Duration.milliseconds(200)
    static let concurrentSuspectBatches = 8
    /// How many events find out together whether an outage is over.
    static let probeSize = 16
    /// How many held events are remembered for health.
    static let notedHolds = 1000
}
