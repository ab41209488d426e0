package import EventBus

/// A payload step that writes a mark before the payload, for tests of stored events.
package struct MarkingStep: PayloadStep {
    package let contentEncoding = "x-marked"

    package init() {}

    package func encode(_ envelope: inout Envelope) throws -> Bool {
        envelope.payload.insert(UInt8(ascii: "!"), at: 0)
        return true
    }

    package func decode(_ envelope: inout Envelope) throws { envelope.payload.removeFirst() }
}
