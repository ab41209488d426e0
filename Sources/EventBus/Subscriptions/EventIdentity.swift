/// The part of an event that identifies it for a subscription.
///
/// An event is identified by its topic and its id. The id is usually that of the publisher, ``own``. Publishers of other
/// systems may set no id, or a new one each time they repeat an event. A subscription can then derive the id from what
/// such events have in common:
///
/// ```swift
/// bus.subscribe(
///     to: OrderPlaced.self,
///     group: "billing",
///     options: .init(inbox: inbox, identity: .field("order", "id"))
/// ) { order in … }
/// ```
///
/// The derived id is used wherever the event is identified: ``EventContext/id``, logs, traces, the
/// ``SubscriptionOptions/inbox``, the causation id and the derived identities of events that the handler publishes, retries
/// and dead letters. It is the same at every attempt, because it depends on the event's content alone. An event that the
/// broker dead-letters before the subscription gets it, for example because it expired, has its own id there.
///
/// A text of more than 255 bytes, or with control characters, is replaced by a digest of it. An event from which no id
/// can be derived, because the part is missing, blank or of another type, keeps its own id. It is handled as usual, and
/// the first such event of a subscription is logged as a warning.
///
/// The payload is read with its ``PayloadStep``s undone. A bus with a ``ClaimCheck``, or with a payload step that needs the
/// publisher's id (``PayloadStep/bindsIdentity``), accepts no subscription that derives ids.
public struct EventIdentity: Sendable {
    /// A closure that returns the id, or `nil` to keep the event's own.
    let derive: (@Sendable (ReceivedEvent) throws -> EventID?)?
    /// A description of the reason why the identity is invalid, or `nil` if it is valid.
    let problem: String?

    private init(problem: String? = nil, _ derive: (@Sendable (ReceivedEvent) throws -> EventID?)?) {
        self.derive = derive
        self.problem = problem
    }

    /// The event's own id.
    ///
    /// An event of another system that has none, or a blank one, is identified by a digest of its content: its exchange
    /// and routing key, its properties and headers, and its payload. The id is the same in every delivery of the event.
    /// Two separate events are therefore taken for one by an inbox if they are equal in all of that. Publishers of such
    /// events should set an id, or something else that distinguishes them, such as a number in a header.
    public static let own = EventIdentity(nil)

    /// A digest of the payload. Events of one topic that have the same payload are the same event.
    public static let payload = EventIdentity { event in
        var digest = EventDigest()
        digest.append(event.envelope.payload)
        return digest.id()
    }

    /// The value of a header, which is a text, an integer or bytes. Bytes are replaced by a digest of them.
    public static func header(_ name: String) -> EventIdentity {
        EventIdentity(problem: name.isEmpty ? "an identity from a header without a name; name the header" : nil) {
            event in
            switch event.envelope.headers[name] {
            case .string(let text):
                return EventID(identifying: text)
            case .int(let number):
                return EventID("\(number)")
            case .bytes(let bytes) where !bytes.isEmpty:
                var digest = EventDigest()
                digest.append(bytes)
                return digest.id()
            default:
                return nil
            }
        }
    }

    /// The value of a field of the payload, which is a text or an integer.
    ///
    /// ```swift
    /// let identity = EventIdentity.field("order", "id")  // {"order": {"id": "42"}, …}
    /// ```
    ///
    /// The payload is read with the codec for its content type, once more for this field. If that takes too long, use a
    /// ``header(_:)``.
    ///
    /// - Parameter path: The name of the field, after the names of the objects that contain it.
    public static func field(_ path: String...) -> EventIdentity {
        EventIdentity(problem: path.isEmpty ? "an identity from a field without a name; name the field" : nil) {
            event in
            EventID(identifying: try PayloadField.text(at: path, of: event))
        }
    }

    /// The text that a closure returns, or the event's own id if it returns `nil` or throws.
    ///
    /// ```swift
    /// let identity = EventIdentity.derived { event in
    ///     let order = try event.decoded(as: OrderPlaced.self)
    ///     return "\(order.shop)/\(order.number)"
    /// }
    /// ```
    ///
    /// - Parameter derive: A closure that returns the text. It must return the same one for the same event, and not use
    ///   the event's id, because that is replaced by the derived one.
    public static func derived(by derive: @escaping @Sendable (ReceivedEvent) throws -> String?) -> EventIdentity {
        EventIdentity { event in try derive(event).flatMap { EventID(identifying: $0) } }
    }
}

/// A field of a payload, read by any codec.
private struct PayloadField: Decodable {
    /// The path of the field, because a codec passes nothing else to the value that it decodes.
    @TaskLocal private static var path: [String] = []

    private let text: String

    static func text(at path: [String], of event: ReceivedEvent) throws -> String {
        try $path.withValue(path) { try event.decoded(as: PayloadField.self) }.text
    }

    init(from decoder: any Decoder) throws {
        let path = Self.path
        var container = try decoder.container(keyedBy: FieldName.self)
        for name in path.dropLast() {
            container = try container.nestedContainer(keyedBy: FieldName.self, forKey: FieldName(stringValue: name))
        }
        let name = FieldName(stringValue: path.last ?? "")
        if let text = try? container.decode(String.self, forKey: name) {
            self.text = text
        } else if let number = try? container.decode(Int64.self, forKey: name) {
            text = "\(number)"
        } else {
            text = "\(try container.decode(UInt64.self, forKey: name))"
        }
    }
}

private struct FieldName: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}
