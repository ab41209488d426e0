import EventBus

/// An injected failure of a publish.
struct PublishFault: Sendable {
    var error: EventBusError
    /// A Boolean value indicating whether the broker keeps the event nevertheless.
    var isKept: Bool
}

extension BrokerState {
    /// Returns the fault that strikes this publish, or `nil`.
    mutating func strikePublish(of envelope: Envelope) -> PublishFault? {
        guard faults != nil else { return nil }
        if strike(.refusedPublish, envelope) {
            return PublishFault(.rejected, "the broker refused the event (injected fault)", isKept: false)
        }
        if strike(.timedOutPublish, envelope) {
            return PublishFault(.timedOut, "the event was not sent before the deadline (injected fault)", isKept: false)
        }
        let lost = "the connection was lost before the broker confirmed the event, which it may hold (injected fault)"
        if strike(.lostPublish, envelope) { return PublishFault(.indeterminate, lost, isKept: false) }
        if strike(.unconfirmedPublish, envelope) { return PublishFault(.indeterminate, lost, isKept: true) }
        return nil
    }

    private mutating func strike(_ kind: FaultPlan.Kind, _ envelope: Envelope) -> Bool {
        guard faults?.strikes(kind, envelope, in: "") != nil else { return false }
        faults?.record(kind, envelope, in: "")
        return true
    }
}

extension PublishFault {
    fileprivate init(_ code: EventBusError.Code, _ message: String, isKept: Bool) {
        self.init(error: EventBusError(code, message), isKept: isKept)
    }
}
