/// A forged property or header of an event.
struct Forgery: Sendable {
    /// A property with a text, by its flag.
    enum Property: UInt16, CaseIterable, Sendable {
        case contentType = 0x8000
        case contentEncoding = 0x4000
        case correlationID = 0x0400
        case replyTo = 0x0200
        case expiration = 0x0100
        case messageID = 0x0080
        case type = 0x0020
        case userID = 0x0010
        case appID = 0x0008
        case clusterID = 0x0004
    }

    enum Field: Sendable {
        case property(Property)
        case deliveryMode
        case priority
        case timestamp
        case header(String)
        /// A header that is given twice, first with another value.
        case twice(String, first: NastyValue)
        case body
    }

    var field: Field
    var value: NastyValue

    /// The name of the field, which all its forgeries have in common.
    var name: String {
        switch field {
        case .property(let property): "property \(property)"
        case .header(let name): "header \(name)"
        case .twice(let name, _): "twice \(name)"
        case .deliveryMode, .priority, .timestamp, .body: "\(field)"
        }
    }

    /// A Boolean value indicating whether RabbitMQ 3.10 would fail on this record of a dead-lettering when it gives the
    /// event up, and from then on give up no event of any quorum queue.
    var stopsDeadLettering: Bool {
        func isHarmful(_ value: NastyValue) -> Bool {
            guard case .array(let records) = value else { return false }
            return !records.allSatisfy { if case .table = $0 { true } else { false } }
        }
        switch field {
        case .header("x-death"): return isHarmful(value)
        case .twice("x-death", let first): return isHarmful(first) || isHarmful(value)
        default: return false
        }
    }

    /// The headers that the bus, the broker and tracing use.
    static let headers = [
        "x-eventbus-topic", "x-eventbus-attempts", "x-eventbus-queue", "x-eventbus-group", "x-eventbus-reason",
        "x-eventbus-error-type", "x-eventbus-error-message", "x-eventbus-first-failure", "x-eventbus-last-failure",
        "x-eventbus-due", "x-eventbus-deferred", "x-eventbus-correlation-id", "x-eventbus-original-exchange",
        "x-eventbus-original-routing-key", "request-expires", "reply-error", "x-eventbus-\u{1B}", "x-death",
        "x-first-death-queue", "x-first-death-exchange", "x-first-death-reason", "x-last-death-queue",
        "x-delivery-count", "x-match", "CC", "BCC", "causation-id", "event-version", "event-time", "partition-key",
        "traceparent", "tracestate", "baggage", "user\nheader\u{9B}", "x-eventbus-crashes", "x-acquired-count",
        "encryption-key-id", "x-delay", "x-opt-exchange", "x-opt-routing-key", "x-opt-delivery-time",
        "x-stream-offset", "x-stream-filter-value", "x-deduplication-header", "x-priority", "", overlongName,
        "é\u{301}", "encryption-key-id\u{0}",
    ]

    /// A name that is longer than those of the bus's own headers may be.
    static let overlongName = String(repeating: "n", count: 255)

    /// Encodings that the bus with payload steps undoes, more often than any publisher names them, and others.
    static let encodings = [
        "gzip", "GZIP , gzip", "gzip, gzip, gzip, gzip", "aes256gcm", "gzip, aes256gcm", "claim-check",
        "gzip, claim-check", "claim-check, claim-check", "claim-check, gzip", "identity", ",", "br\u{1B}",
    ].map { NastyValue.text($0) }

    /// Every field with every value, and the most harmful ones with the names of objects of others.
    ///
    /// - Parameters:
    ///   - targets: The names of queues and topics that the publisher may not reach.
    ///   - bodies: Payloads that are harmful in an encoding.
    static func all(targets: [String], bodies: [[UInt8]]) -> [Forgery] {
        let targets = targets.map { NastyValue.text($0) }
        let texts = NastyValue.texts + targets
        var all: [Forgery] = []
        for property in Property.allCases {
            all += texts.filter { $0.shortString != nil }.map { Forgery(field: .property(property), value: $0) }
        }
        for number: Int64 in [0, 1, 3, 255] {
            all.append(Forgery(field: .deliveryMode, value: .integer(number)))
            all.append(Forgery(field: .priority, value: .integer(number)))
        }
        for number: Int64 in [0, -1, .max, .min, 300_000_000_000, -70_000_000_000] {
            all.append(Forgery(field: .timestamp, value: .integer(number)))
        }
        for header in headers {
            all += (texts + NastyValue.others).map { Forgery(field: .header(header), value: $0) }
        }
        for target in targets {
            for header in ["CC", "BCC"] { all.append(Forgery(field: .header(header), value: .array([target]))) }
            let death: [(name: String, value: NastyValue)] = [
                ("queue", target), ("reason", .text("rejected")), ("exchange", .text("")), ("count", .integer(1)),
                ("routing-keys", .array([target])), ("time", .timestamp(.max)),
            ]
            all.append(Forgery(field: .header("x-death"), value: .array([.table(death)])))
            all.append(Forgery(field: .twice("x-death", first: .array([])), value: .array([.table(death)])))
            // The broker completes a record of the same bytes, and leaves the invented one behind it.
            for record in begun {
                all.append(Forgery(field: .header("x-death"), value: .array([record, .table(death)])))
            }
        }
        all += begun.map { Forgery(field: .header("x-death"), value: .array([$0])) }
        for header in headers where header.utf8.count < 100 {
            all += [targets[0], .integer(1000)].map {
                Forgery(field: .twice(header, first: .void), value: $0)
            }
        }
        // Queues of the broker itself, one of which belongs to no consumer.
        let replies = ForgedReplyTo.malformed.filter { $0.utf8.count <= 255 } + ForgedReplyTo.wellFormed
        for queue in ["amq.rabbitmq.reply-to"] + replies {
            all.append(Forgery(field: .property(.replyTo), value: .text(queue)))
        }
        all += encodings.map { Forgery(field: .property(.contentEncoding), value: $0) }
        all += bodies.map { Forgery(field: .body, value: .text($0)) }
        return all
    }

    /// Beginnings of the record that the broker completes when an event expires in the queue without a consumer.
    private static let begun: [NastyValue] = {
        let (queue, expired) = (Array(HostileScene.absent.utf8), Array("expired".utf8))
        return [
            .table([("queue", .bytes(queue)), ("reason", .text("expired"))]),
            .table([("queue", .text(queue)), ("reason", .bytes(expired))]),
            .table([("queue", .bytes(queue)), ("reason", .bytes(expired)), ("queue", .text("attacked.note"))]),
        ]
    }()

    /// Headers, members and elements that fill most of a frame.
    static let wide: [[Forgery]] = [
        (0..<16_000).map { Forgery(field: .header(String($0, radix: 36)), value: .void) },
        [Forgery(field: .header("wide"), value: .array(Array(repeating: .void, count: 120_000)))],
        [Forgery(field: .header("wide"), value: .table((0..<16_000).map { (String($0, radix: 36), .void) }))],
        [Forgery(field: .header("wide"), value: .table(Array(repeating: ("", .void), count: 60_000)))],
    ]

    /// The encodings that are undone with every body. Both are harmless alone.
    static func encoded(_ bodies: [[UInt8]]) -> [[Forgery]] {
        ["gzip", "claim-check", "gzip, claim-check", "aes256gcm, gzip"].flatMap { encoding in
            bodies.map { body in
                [
                    Forgery(field: .property(.contentEncoding), value: .text(encoding)),
                    Forgery(field: .body, value: .text(body)),
                    Forgery(field: .header("encryption-key-id"), value: .text("known")),
                ]
            }
        }
    }
}

/// A message of the hostile peer.
struct HostileMessage: Sendable {
    /// The number in its payload, which cannot be confused with another message's.
    var number: Int
    var topic: String
    var forgeries: [Forgery]

    /// A Boolean value indicating whether the broker, when it gives the event up, may find a record in it.
    var claimsDeath: Bool { forgeries.contains { $0.name.hasSuffix(" x-death") } }

    /// The payload: the number, unless it is forged.
    var body: [UInt8] {
        for case (.body, .text(let body)) in forgeries.lazy.map({ ($0.field, $0.value) }) { return body }
        return Array(#"{"number":\#(number)}"#.utf8)
    }

    /// The id that the peer chose, or `nil` if it is a digest of the message, because the id is blank.
    var eventID: String? {
        var id = "hostile-\(number)"
        for case (.property(.messageID), .text(let text)) in forgeries.map({ ($0.field, $0.value) }) {
            // An id that is no text is known by its first bytes in hexadecimal.
            id =
                String(validating: text, as: UTF8.self)
                ?? text.prefix(127).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        }
        return id.utf8.allSatisfy { $0 <= 0x20 } ? nil : id
    }

    /// The flags and the bytes of the properties.
    var properties: (flags: UInt16, bytes: [UInt8]) {
        var texts: [Forgery.Property: [UInt8]] = [
            .contentType: Array("application/json".utf8), .messageID: Array("hostile-\(number)".utf8),
        ]
        var headers: [(name: String, value: NastyValue)] = []
        var octets: (mode: UInt8?, priority: UInt8?) = (nil, nil)
        var timestamp: UInt64?
        for forgery in forgeries {
            switch (forgery.field, forgery.value) {
            case (.property(let property), let value): texts[property] = value.shortString
            case (.deliveryMode, .integer(let number)): octets.mode = UInt8(truncatingIfNeeded: number)
            case (.priority, .integer(let number)): octets.priority = UInt8(truncatingIfNeeded: number)
            case (.timestamp, .integer(let number)): timestamp = UInt64(bitPattern: number)
            case (.header(let name), let value): headers.append((name, value))
            case (.twice(let name, let first), let value): headers += [(name, first), (name, value)]
            default: break
            }
        }
        var (flags, bytes) = (UInt16(0), AMQPBytes())
        func text(_ property: Forgery.Property) {
            guard let value = texts[property] else { return }
            flags |= property.rawValue
            bytes.shortString(value)
        }
        text(.contentType)
        text(.contentEncoding)
        if !headers.isEmpty {
            flags |= 0x2000
            bytes.table(headers)
        }
        for (flag, octet) in [(0x1000, octets.mode), (0x0800, octets.priority)] as [(UInt16, UInt8?)] {
            guard let octet else { continue }
            flags |= flag
            bytes.octet(octet)
        }
        for property in [.correlationID, .replyTo, .expiration, .messageID] as [Forgery.Property] { text(property) }
        if let timestamp {
            flags |= 0x0040
            bytes.longlong(timestamp)
        }
        for property in [.type, .userID, .appID, .clusterID] as [Forgery.Property] { text(property) }
        return (flags, bytes.bytes)
    }
}
