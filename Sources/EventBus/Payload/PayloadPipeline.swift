/// The payload steps of a bus: those that encode, and all that decode.
package final class PayloadPipeline: Sendable {
    private let encoders: [any PayloadStep]
    private let decoders: [String: any PayloadStep]
    /// The names of encodings without which an event is refused.
    private let required: [String]
    /// A description of the part that can only be undone with the id of the publisher, or `nil` if there is none.
    private let binding: String?
    private let claims: ClaimCheckReader?

    /// Creates a pipeline.
    ///
    /// - Parameters:
    ///   - encoders: The steps that encode, in this order. They decode too.
    ///   - others: Additional steps that decode.
    ///   - claimCheck: The rule that fetches stored bodies, or `nil` for none.
    package init(encoders: [any PayloadStep], others: [any PayloadStep] = [], claimCheck: ClaimCheck? = nil) {
        self.claims = claimCheck.map { ClaimCheckReader($0) }
        self.encoders = encoders
        var decoders: [String: any PayloadStep] = [:]
        for step in others + encoders { decoders[Self.normalized(step.contentEncoding)] = step }
        self.decoders = decoders
        let step = (encoders + others).first(where: \.bindsIdentity)
        self.binding =
            step.map { "payload step \($0.contentEncoding.quotedForError)" } ?? claimCheck.map { _ in "claim check" }
        self.required = encoders.filter(\.isRequired).map { Self.normalized($0.contentEncoding) }
    }

    /// Returns a description of the problem with an identity in combination with the steps, or `nil` if there is none.
    func problem(with identity: EventIdentity) -> String? {
        guard let binding, identity.derive != nil else { return nil }
        return "an identity that is derived, but the bus's \(binding) needs the id of the publisher to read an event, "
            + "which a retry would not have; leave the identity out"
    }

    /// Encodes the payload of a new event.
    ///
    /// - Parameter steps: The steps to use, or `nil` for those of the bus.
    func encode(_ envelope: inout Envelope, with steps: [any PayloadStep]? = nil) throws(EventBusError) {
        for step in steps ?? encoders {
            let name = Self.normalized(step.contentEncoding)
            if name.isEmpty || name == "identity" || name.contains(",") {
                throw EventBusError(
                    .invalidConfiguration,
                    "the content encoding \(name.quotedForError) of \(type(of: step)) is not a name; give one without "
                        + "commas, such as \"gzip\""
                )
            }
            let isEncoded: Bool
            do {
                isEncoded = try step.encode(&envelope)
            } catch let error as EventBusError {
                throw error
            } catch {
                throw EventBusError(
                    .encodingFailed,
                    "the payload step \(name.quotedForError) failed for an event of topic \(envelope.topic)",
                    underlying: error
                )
            }
            if isEncoded {
                envelope.contentEncoding = envelope.contentEncoding.map { "\($0), \(name)" } ?? name
            }
        }
    }

    /// Returns the event with all its encodings undone, or `nil` if it has none or one that no step handles. The handlers
    /// of the latter receive its bytes as they arrived.
    ///
    /// - Throws: ``EventBusError`` with code `.decodingFailed`, or that of an outage.
    package func decoded(_ envelope: Envelope) throws(EventBusError) -> Envelope? {
        if envelope.contentEncoding == nil, required.isEmpty { return nil }
        let names = Self.names(in: envelope.contentEncoding)
        if let missing = required.first(where: { !names.contains($0) }) {
            throw EventBusError(
                .decodingFailed,
                "event \(envelope.id) of topic \(envelope.topic) does not have the content encoding "
                    + "\(missing.quotedForError), which this bus requires; publish it with this payload step"
            )
        }
        guard !names.isEmpty else { return nil }
        var steps: [any PayloadStep] = []
        for name in names {
            guard let step = decoders[name] else { return nil }
            steps.append(step)
        }
        // The work for one event is bounded. No publisher has reason to use a step twice.
        guard names.count <= decoders.count else {
            throw EventBusError(
                .decodingFailed,
                "event \(envelope.id) of topic \(envelope.topic) names \(names.count) content encodings, but the bus "
                    + "has \(decoders.count) payload steps"
            )
        }
        var decoded = envelope
        while let step = steps.popLast() {
            let rest = names.prefix(steps.count)
            decoded.contentEncoding = rest.isEmpty ? nil : rest.joined(separator: ", ")
            do {
                try step.decode(&decoded)
            } catch let error as EventBusError where error.code.isOutage {
                throw error
            } catch {
                throw EventBusError(
                    .decodingFailed,
                    "the content encoding \(names[steps.count].quotedForError) of event \(envelope.id) of topic "
                        + "\(envelope.topic) could not be undone",
                    underlying: error
                )
            }
        }
        return decoded
    }

    /// Returns the delivery with the stored body of its event, or `nil` if none is stored.
    ///
    /// - Throws: ``EventBusError`` with code `.decodingFailed`, or that of an outage.
    func redeemed(_ delivery: Delivery, clock: AnyClock) async throws(EventBusError) -> Delivery? {
        guard let claims, ClaimCheck.isClaim(delivery.envelope) else { return nil }
        return delivery.replacing(try await claims.redeemed(delivery.envelope, clock: clock))
    }

    /// A Boolean value indicating whether the bodies of events may be in a store.
    var redeems: Bool { claims != nil }

    /// Returns the delivery with all encodings of its event undone, or unchanged if nothing is undone.
    func decoded(_ delivery: Delivery) throws(EventBusError) -> Delivery {
        // First, because nearly every event has none.
        if delivery.envelope.contentEncoding == nil, required.isEmpty { return delivery }
        guard let envelope = try decoded(delivery.envelope) else { return delivery }
        return delivery.replacing(envelope)
    }

    /// Returns the names in the list of a content encoding, without `identity`.
    static func names(in contentEncoding: String?) -> [String] {
        guard let contentEncoding else { return [] }
        return contentEncoding.split(separator: ",").map { normalized(String($0)) }
            .filter { !$0.isEmpty && $0 != "identity" }
    }

    private static func normalized(_ name: String) -> String {
        name.filter { $0 != " " && $0 != "\t" }.lowercased()
    }
}
