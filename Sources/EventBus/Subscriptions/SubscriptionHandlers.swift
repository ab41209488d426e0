/// The handlers of one subscription, by event type or pattern.
///
/// Several types in one subscription share its queue and therefore keep the order of their events:
///
/// ```swift
/// bus.subscribe(group: "billing", name: "orders", options: .init(ordering: .byPartitionKey)) { handlers in
///     handlers.on(OrderCreated.self) { order, context in … }
///     handlers.on(OrderCancelled.self) { order, context in … }
/// }
/// ```
public struct SubscriptionHandlers {
    /// A function that decodes an envelope and returns the invocation to run.
    typealias Decode = @Sendable (Envelope) throws -> Invocation

    private(set) var patterns: [TopicPattern] = []
    private var exact: [Topic: Entry] = [:]
    private var wildcards: [(pattern: TopicPattern, entry: Entry)] = []
    private var conversions: [Topic: [Conversion]] = [:]
    let codecs: CodecRegistry

    init(codecs: CodecRegistry) {
        self.codecs = codecs
    }

    /// Adds a handler for events of one type. If a topic has two handlers, the later one is used.
    ///
    /// - Parameters:
    ///   - type: The type of the events.
    ///   - pattern: The topics of the events, or `nil` for all topics of the type. Every event that matches is decoded
    ///     as the type.
    ///   - handler: The closure that handles an event.
    public mutating func on<E: Event>(
        _ type: E.Type,
        matching pattern: TopicPattern? = nil,
        handler: @escaping @Sendable (E, EventContext) async throws -> Void
    ) {
        let codecs = codecs
        let entry = Entry(type: E.topic, handler: TypedHandler(body: handler)) { envelope in
            if envelope.version > E.version {
                throw EventBusError(
                    .newerVersion,
                    "event \(envelope.id) has version \(envelope.version); this instance knows \(E.self) up to "
                        + "version \(E.version)"
                )
            }
            let event = try codecs.decode(E.self, from: envelope)
            return { context in try await handler(event, context) }
        }
        add(entry, matching: pattern ?? E.topicPattern)
    }

    /// Adds a conversion of events of earlier versions, which are handled by the handler of the current type.
    ///
    /// ```swift
    /// bus.subscribe(group: "ledger", name: "invoices") { handlers in
    ///     handlers.on(Invoiced.self) { invoice, context in … }
    ///     handlers.on(InvoicedV1.self, upTo: 1) { Invoiced($0, currency: "EUR") }
    /// }
    /// ```
    ///
    /// An event whose ``Event/version`` is `version` or lower is decoded as `Old`. If there are several conversions, the
    /// one with the lowest sufficient version is used. If the current type has several handlers by pattern, each gets the
    /// converted events of the topics that it handles. An event that cannot be converted becomes a dead letter with the
    /// reason ``Failure/Reason/undecodable``. See <doc:EvolvingEvents>.
    ///
    /// - Parameters:
    ///   - type: The type of the earlier events.
    ///   - version: The highest version of the earlier events, below that of `New`.
    ///   - convert: A closure that returns the event of the current type. The subscription needs a handler for `New`.
    public mutating func on<Old: Decodable & SendableMetatype, New: Event>(
        _ type: Old.Type,
        upTo version: Int,
        convert: @escaping @Sendable (Old) throws -> New
    ) {
        let codecs = codecs
        let conversion = Conversion(upTo: version, name: "\(Old.self)", target: "\(New.self)", current: New.version) {
            handler in
            guard let handler = handler as? TypedHandler<New> else { return nil }
            return { envelope in
                let event = try convert(try codecs.decode(Old.self, from: envelope))
                return { context in try await handler.body(event, context) }
            }
        }
        conversions[New.topic, default: []].append(conversion)
    }

    /// Returns a description of a conversion that cannot work, or `nil` if all can.
    var conversionProblem: String? {
        let entries = exact.values + wildcards.map(\.entry)
        for (topic, conversions) in conversions {
            for conversion in conversions {
                if !entries.contains(where: { $0.type == topic && conversion.decode($0.handler) != nil }) {
                    return "a conversion of \(conversion.name) to \(conversion.target), but no handler for "
                        + "\(conversion.target); add one with on(\(conversion.target).self)"
                }
                if conversion.upTo >= conversion.current {
                    return "a conversion of \(conversion.name) up to version \(conversion.upTo), but "
                        + "\(conversion.target) has version \(conversion.current); raise its version"
                }
            }
        }
        return nil
    }

    /// Returns the handlers by topic and by pattern, with the conversions of earlier versions.
    func withConversions() -> (exact: [Topic: Decode], wildcards: [(pattern: TopicPattern, decode: Decode)]) {
        (exact.mapValues(converting), wildcards.map { ($0.pattern, converting($0.entry)) })
    }

    private func converting(_ entry: Entry) -> Decode {
        guard let type = entry.type, let conversions = conversions[type] else { return entry.decode }
        let current = entry.decode
        let earlier = conversions.sorted { $0.upTo < $1.upTo }.compactMap { conversion in
            conversion.decode(entry.handler).map { (upTo: conversion.upTo, decode: $0) }
        }
        return { envelope in
            let conversion = earlier.first { envelope.version <= $0.upTo }
            return try (conversion?.decode ?? current)(envelope)
        }
    }

    /// Adds a handler for events whose topic matches a pattern and that have no handler by type.
    public mutating func on(
        _ pattern: TopicPattern,
        handler: @escaping @Sendable (ReceivedEvent, EventContext) async throws -> Void
    ) {
        let codecs = codecs
        patterns.append(pattern)
        let entry = Entry(type: nil, handler: nil) { envelope in
            let event = ReceivedEvent(envelope: envelope, codecs: codecs)
            return { context in try await handler(event, context) }
        }
        wildcards.append((pattern, entry))
    }

    /// Adds a handler of a type for the topics that match `pattern`.
    private mutating func add(_ entry: Entry, matching pattern: TopicPattern) {
        if pattern.isExact {
            if exact.updateValue(entry, forKey: Topic(unchecked: pattern.rawValue)) == nil { patterns.append(pattern) }
        } else {
            patterns.append(pattern)
            wildcards.append((pattern, entry))
        }
    }
}

/// A handler of events of one type or of any type.
private struct Entry {
    /// The topic of the type, or `nil` for events of any type.
    let type: Topic?
    /// The handler as a ``TypedHandler``, to which earlier versions are converted, or `nil` for events of any type.
    let handler: (any Sendable)?
    let decode: SubscriptionHandlers.Decode
}

/// The handler of one type of event.
private struct TypedHandler<E: Event>: Sendable {
    let body: @Sendable (E, EventContext) async throws -> Void
}

/// A conversion of events of earlier versions to their current type.
private struct Conversion {
    /// The highest version that is converted.
    let upTo: Int
    /// The names of the earlier and the current type, and the version of the latter.
    let name: String
    let target: String
    let current: Int
    /// A closure that returns the decoding of an earlier event for the handler of the current type, or `nil` if the
    /// handler is missing or has another type.
    let decode: (_ handler: (any Sendable)?) -> SubscriptionHandlers.Decode?
}
