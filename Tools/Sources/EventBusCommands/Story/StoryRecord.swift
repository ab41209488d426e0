import EventBus
import EventStory
import FoundationEssentials

/// Something that is known about a story: a line of a file, or a dead letter on the broker.
enum StoryRecord: Sendable {
    /// An event of a recording that `eventbus tail --json` made.
    case event(Envelope)
    /// A dead letter, of the broker or of `eventbus dead export`.
    case letter(DeadLetter)
    case span(SpanRecord)
    case log(LogRecord)

    /// Reads a line of JSON. Returns `nil` if it is none of them.
    init?(line: Data) {
        let decoder = JSONDecoder()
        if let span = SpanRecord(line: line) {
            self = .span(span)
        } else if let letter = try? decoder.decode(LetterLine.self, from: line).letter() {
            self = .letter(letter)
        } else if let event = try? decoder.decode(EventLine.self, from: line).envelope() {
            self = .event(event)
        } else if let log = try? decoder.decode(LogRecord.self, from: line) {
            self = .log(log)
        } else {
            return nil
        }
    }

    /// The correlation id, or `nil` if there is none.
    var correlationID: String? {
        switch self {
        case .event(let envelope): Self.correlation(of: envelope)
        case .letter(let letter): Self.correlation(of: letter.envelope)
        case .span(let span): span.correlationID
        case .log(let log): log.correlationID
        }
    }

    /// The first event of a story may carry no correlation id, because its own id is that of the others.
    private static func correlation(of envelope: Envelope) -> String {
        envelope.correlationID?.rawValue ?? envelope.id.rawValue
    }
}

/// A message of a service, as a line of JSON with `time`, `level`, `message` and the metadata.
struct LogRecord: Decodable, Sendable {
    /// The time in microseconds since 1970.
    var time: Int64
    var level: String
    var message: String
    var service: String?
    var correlationID: String?
    /// The error that the message is about, or `nil`.
    var error: String?

    /// A Boolean value indicating whether the message reports a failure.
    var isFailure: Bool { level == "error" || level == "critical" }

    private enum CodingKeys: String, CodingKey {
        case time, level, message, service, error
        case correlationID = "correlation-id"
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let text = try container.decode(String.self, forKey: .time)
        guard let time = SpanRecord.microseconds(text) else {
            throw DecodingError.dataCorruptedError(forKey: .time, in: container, debugDescription: "it is no time")
        }
        self.time = time
        level = try container.decode(String.self, forKey: .level)
        message = try container.decode(String.self, forKey: .message)
        service = try? container.decode(String.self, forKey: .service)
        correlationID = try? container.decode(String.self, forKey: .correlationID)
        error = try? container.decode(String.self, forKey: .error)
    }
}
