internal import CZlib
public import EventBus

/// A payload step that compresses payloads with gzip.
///
/// ```swift
/// var configuration = EventBusConfiguration()
/// configuration.payloadSteps = [GzipStep()]
/// let bus = EventBus(transport: .inMemory(), configuration: configuration)
/// ```
///
/// The content encoding is `gzip`, as in HTTP, so clients in other languages can read and write such events.
public struct GzipStep: PayloadStep {
    /// The name `gzip`.
    public let contentEncoding = "gzip"
    /// The compression level, from 1 (fast) to 9 (small). Other values are clamped. Defaults to 6.
    public var level: Int
    /// The minimum size of a payload that is compressed, in bytes. Smaller ones are sent as they are, as well as those
    /// that compression does not make smaller. Defaults to 1 KiB.
    public var minimumSize: Int
    /// The maximum size of an uncompressed payload, in bytes. A publish of a larger one throws `.tooLarge`, and an event
    /// that would become larger becomes a dead letter, so that a small message cannot fill the memory. Defaults to
    /// ``/EventBus/TransportLimits/maximumBodySize``, the limit of an event without compression.
    public var maximumSize: Int

    /// Creates a step. Omitted values use the defaults.
    public init(
        level: Int = 6,
        minimumSize: Int = 1024,
        maximumSize: Int = TransportLimits.maximumBodySize
    ) {
        self.level = level
        self.minimumSize = minimumSize
        self.maximumSize = maximumSize
    }

    /// Compresses the payload, unless it is small or would not become smaller.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.tooLarge` if the payload exceeds ``maximumSize``.
    public func encode(_ envelope: inout Envelope) throws -> Bool {
        let size = envelope.payload.count
        guard size >= minimumSize else { return false }
        guard size <= maximumSize else {
            throw EventBusError(
                .tooLarge,
                "the payload has \(size) bytes before its compression, \(maximumSize) are allowed; store what is large "
                    + "elsewhere and publish a reference to it, or raise GzipStep.maximumSize everywhere"
            )
        }
        guard let compressed = try Gzip.compressed(envelope.payload, level: min(max(level, 1), 9)) else { return false }
        envelope.payload = compressed
        return true
    }

    /// Decompresses the payload.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.decodingFailed` if the payload is damaged, incomplete or would
    ///   exceed ``maximumSize``.
    public func decode(_ envelope: inout Envelope) throws {
        envelope.payload = try Gzip.decompressed(envelope.payload, limit: maximumSize)
    }
}
