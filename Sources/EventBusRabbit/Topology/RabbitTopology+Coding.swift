import EventBus

extension RabbitTopology.Subscription {
    private enum CodingKeys: String, CodingKey {
        case group, name, queue, patterns, formerPatterns, singleActiveConsumer, isDeclared, arguments
    }

    /// Decodes a subscription. A file of an earlier release has neither `isDeclared` nor `arguments`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            group: try container.decode(String.self, forKey: .group),
            name: try container.decode(String.self, forKey: .name),
            queue: try container.decode(String.self, forKey: .queue),
            patterns: try container.decode([String].self, forKey: .patterns),
            formerPatterns: try container.decode([String].self, forKey: .formerPatterns),
            singleActiveConsumer: try container.decode(Bool.self, forKey: .singleActiveConsumer),
            isDeclared: try container.decodeIfPresent(Bool.self, forKey: .isDeclared) ?? true,
            arguments: try container.decodeIfPresent([String: Argument].self, forKey: .arguments)?
                .mapValues(\.value) ?? [:]
        )
    }

    /// Encodes the subscription. Values of a usual queue are left out.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(group, forKey: .group)
        try container.encode(name, forKey: .name)
        try container.encode(queue, forKey: .queue)
        try container.encode(patterns, forKey: .patterns)
        try container.encode(formerPatterns, forKey: .formerPatterns)
        try container.encode(singleActiveConsumer, forKey: .singleActiveConsumer)
        if !isDeclared { try container.encode(isDeclared, forKey: .isDeclared) }
        if !arguments.isEmpty { try container.encode(arguments.mapValues(Argument.init), forKey: .arguments) }
    }
}

/// An argument of a queue. Brokers use no arrays and tables there.
private struct Argument: Codable {
    let value: HeaderValue

    init(_ value: HeaderValue) {
        self.value = value
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let flag = try? container.decode(Bool.self) {
            value = .bool(flag)
        } else if let number = try? container.decode(Int64.self) {
            value = .int(number)
        } else if let number = try? container.decode(Double.self) {
            value = .double(number)
        } else {
            value = .string(try container.decode(String.self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch value {
        case .string(let text): try container.encode(text)
        case .int(let number): try container.encode(number)
        case .double(let number): try container.encode(number)
        case .bool(let flag): try container.encode(flag)
        case .bytes, .timestamp, .array, .table, .null:
            throw EncodingError.invalidValue(
                value,
                EncodingError.Context(
                    codingPath: encoder.codingPath,
                    debugDescription: "an argument of a queue is a text, a number or a Boolean value"
                )
            )
        }
    }
}
