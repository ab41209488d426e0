/// A reversible step between the codec and the transport, such as compression or encryption.
///
/// ```swift
/// struct ReversingStep: PayloadStep {
///     let contentEncoding = "x-reversed"
///
///     func encode(_ envelope: inout Envelope) throws -> Bool {
///         envelope.payload.reverse()
///         return true
///     }
///
///     func decode(_ envelope: inout Envelope) throws {
///         envelope.payload.reverse()
///     }
/// }
/// ```
///
/// The steps of ``EventBusConfiguration/payloadSteps`` encode in order. The bus records their names in
/// ``Envelope/contentEncoding``, and the receiver undoes them in reverse. See <doc:PayloadSteps>.
///
/// Implementations are called from many tasks at once. They may change the payload and the headers of an envelope, and
/// nothing else. The payload that ``decode(_:)`` receives may come from anyone.
public protocol PayloadStep: Sendable {
    /// The name of the encoding in ``Envelope/contentEncoding``, such as `gzip`. It is compared without regard to case,
    /// and contains no comma.
    var contentEncoding: String { get }

    /// A Boolean value indicating whether the bus refuses events without this encoding if the step is among its
    /// ``EventBusConfiguration/payloadSteps``. Such an event becomes a dead letter. Defaults to `false`.
    var isRequired: Bool { get }

    /// A Boolean value indicating whether the step can only decode an event that has the id with which it was encoded. A
    /// bus with such a step accepts no subscription whose ``SubscriptionOptions/identity`` derives another id, because
    /// retries have that id. Defaults to `false`.
    var bindsIdentity: Bool { get }

    /// Encodes the payload of an event that is about to be published. Its identity and topic are final.
    ///
    /// - Returns: `false` if the step leaves the payload as it is, because it is small, for example.
    /// - Throws: An error that reaches the publisher. Nothing is sent.
    func encode(_ envelope: inout Envelope) throws -> Bool

    /// Decodes the payload of an event that has arrived. ``Envelope/contentEncoding`` contains the encodings that remain
    /// afterwards.
    ///
    /// - Throws: An error that makes the event a dead letter with the reason ``Failure/Reason/undecodable``. If it is an
    ///   ``EventBusError`` whose ``EventBusError/Code/isOutage`` is `true`, the event is deferred instead.
    func decode(_ envelope: inout Envelope) throws
}

extension PayloadStep {
    /// The value `false`: the bus also accepts events without this encoding.
    public var isRequired: Bool { false }

    /// The value `false`: the step decodes an event whatever its id.
    public var bindsIdentity: Bool { false }
}
