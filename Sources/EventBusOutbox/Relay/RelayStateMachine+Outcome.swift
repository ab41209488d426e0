internal import EventBus

extension RelayStateMachine {
    /// The outcome of one event.
    enum Outcome: Sendable {
        /// The broker has confirmed the event.
        case published
        /// The event's topic has no subscription.
        case unrouted
        /// The event itself is at fault, whatever the state of the broker.
        case failed(any Error)
        /// The broker refused the event or gave no answer, through no fault of the event.
        case held(any Error)
        /// The remaining delay exceeds the limit of the broker.
        case early(any Error)
    }
}

extension RelayStateMachine.Outcome {
    /// A Boolean value indicating whether the broker answered for the event, which proves that it accepts events.
    var isAnswer: Bool {
        switch self {
        case .published, .unrouted: true
        case .failed, .held, .early: false
        }
    }

    /// Creates the outcome of a failed publish with this remaining delay.
    init(_ error: any Error, delay: Duration = .zero) {
        let code = (error as? EventBusError)?.code
        if code == .unsupported, delay > .zero {
            self = .early(error)
        } else if error is any NonRetryable || code?.isAboutTheEvent == true {
            self = .failed(error)
        } else {
            // Errors of unknown origin too, because they may be about anything, and a waiting event is not lost.
            self = .held(error)
        }
    }
}

extension RelayStateMachine {
    /// A problem with the broker, which is logged when it changes.
    enum Trouble: Sendable, Equatable {
        case none
        case outage(any Error)
        case holds(any Error)

        /// Returns a Boolean value indicating whether both are of the same kind, whatever the error.
        static func == (lhs: Trouble, rhs: Trouble) -> Bool {
            switch (lhs, rhs) {
            case (.none, .none), (.outage, .outage), (.holds, .holds): true
            default: false
            }
        }
    }

    /// A Boolean value indicating whether there is nothing to do until new events arrive.
    var restsUntilCalled: Bool { isIdle && nextDue == nil && !mustLook }

    /// The current problem with the broker.
    var trouble: Trouble {
        if let outage { return .outage(outage.error) }
        return held.values.first.map(Trouble.holds) ?? .none
    }
}

// MARK: Deciding on an error

extension RelayStateMachine {
    /// Returns the failure of an event that is itself at fault, or `nil` if it is tried again.
    func verdict(on error: any Error, attempt: Int) -> Failure? {
        // Only an unsupported operation may succeed later, because the transport may then support it.
        if error is any NonRetryable || (error as? EventBusError)?.code != .unsupported {
            return Failure(reason: .nonRetryable, error: error, attempt: attempt)
        }
        if attempt < settings.retry.maximumAttempts { return nil }
        return Failure(reason: .attemptsExhausted, error: error, attempt: attempt)
    }

    /// Returns the time between two probes. It stays short in a long outage, so that a new event is tried soon.
    func pause(afterFailure failures: Int) -> Duration {
        min(delay(by: settings.retry, afterAttempt: failures), settings.publishTimeout)
    }

    /// Returns the time before the next attempt.
    func delay(by policy: RetryPolicy, afterAttempt attempt: Int) -> Duration {
        // Not zero, which the jitter may produce, because a delay has to let other events go first.
        return max(.milliseconds(1), policy.delay(afterAttempt: min(attempt, 10_000)))
    }
}

// MARK: Limits

extension RelayStateMachine {
    /// The maximum number of batches in flight: while the broker confirms one, the next one is sent and another one is
    /// read.
    static let concurrentBatches = 3
    /// The maximum number of batches in flight, including those that have waited long for an answer.
    static let concurrentSlowBatches = 16
    /// The time after which other batches no longer wait for a batch in flight.
    static let slowAfter = Duration.milliseconds(200)
    static let concurrentSuspectBatches = 8
    /// The number of events that probe together whether an outage is over.
    static let probeSize = 16
    /// The number of bytes of events that wait in memory. The last event that was read may exceed it.
    static let maximumWaitingBytes = 64 << 20
    /// The maximum number of held events that are remembered for the health report.
    static let notedHolds = 1000
}

/// The maximum number and size of the events that a relay reads next.
package struct Room: Sendable {
    package var events: Int
    package var bytes: Int

    package init(events: Int, bytes: Int = .max) {
        self.events = events
        self.bytes = bytes
    }
}
