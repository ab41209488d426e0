import EventBus
public import Logging

/// A log handler that writes each message as one JSON object to standard output.
///
/// ```json
/// {"time":"2026-01-31T12:00:00.250Z","level":"info","service":"orders","message":"handled","event-id":"…"}
/// ```
///
/// A ``ServiceDefinition`` uses it. To use it in another program, bootstrap swift-log with it:
///
/// ```swift
/// LoggingSystem.bootstrap { _ in JSONLogHandler(service: "inventory", level: .info, secrets: [password]) }
/// ```
///
/// The identifiers of events and correlations follow the message, and other metadata is sorted by key. All values are
/// texts. Credentials are never written.
public struct JSONLogHandler: LogHandler {
    /// The minimum level that is written.
    public var logLevel: Logger.Level
    /// The metadata of every message of this logger.
    public var metadata: Logger.Metadata = [:]
    /// The provider of metadata from the current task.
    public var metadataProvider: Logger.MetadataProvider?

    private let service: String
    private let writer: LineWriter
    private let redaction: Redaction

    /// Creates a handler for standard output.
    ///
    /// - Parameters:
    ///   - service: The service name in every message.
    ///   - level: The minimum level that is written.
    ///   - secrets: The texts that are never written, such as passwords.
    public init(service: String, level: Logger.Level = .info, secrets: [String] = []) {
        self.init(
            service: service,
            level: level,
            writer: .standardOutput,
            redaction: Redaction(secrets: secrets)
        )
    }

    init(service: String, level: Logger.Level, writer: LineWriter, redaction: Redaction) {
        self.service = service
        self.logLevel = level
        self.writer = writer
        self.redaction = redaction
    }

    /// A metadata value of every message of this logger.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes a message.
    public func log(event: LogEvent) {
        var values = metadata
        if let provided = metadataProvider?.get() { values.merge(provided) { _, new in new } }
        if let given = event.metadata { values.merge(given) { _, new in new } }
        if let error = event.error { values["error"] = "\(error)" }

        var json = JSONText()
        json.member("time", EventTime.now().rfc3339)
        json.member("level", event.level.rawValue)
        json.member("service", service)
        json.member("message", redaction.redact(event.message.description))
        for key in Self.leadingKeys {
            if let value = values.removeValue(forKey: key) { json.member(key, text(of: value, for: key)) }
        }
        for (key, value) in values.sorted(by: { $0.key < $1.key }) {
            json.member(Self.reserved.contains(key) ? "metadata.\(key)" : key, text(of: value, for: key))
        }
        writer.write(json.line())
    }

    private static let leadingKeys = ["event-id", "correlation-id"]
    private static let reserved: Set<String> = ["time", "level", "service", "message"]

    /// The keys whose values are always credentials.
    private static let secretKeys = ["password", "secret", "authorization", "cookie", "credential"]

    private func text(of value: Logger.Metadata.Value, for key: String) -> String {
        var key = key.lowercased()
        for secret in Self.secretKeys where Redaction.holds(secret, in: &key) { return Redaction.mask }
        return if case .string(let text) = value { redaction.redact(text) } else { redaction.redact("\(value)") }
    }
}
