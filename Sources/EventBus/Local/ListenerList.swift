/// A listener for one event type.
@usableFromInline
struct TypedListener<E: Event>: Sendable {
    @usableFromInline
    let listener: LocalListener
    @usableFromInline
    let body: @Sendable (E) throws -> Void

    init(listener: LocalListener, body: @escaping @Sendable (E) throws -> Void) {
        self.listener = listener
        self.body = body
    }
}

/// A listener for every event whose topic matches a pattern.
@usableFromInline
struct PatternListener: Sendable {
    @usableFromInline
    let listener: LocalListener
    @usableFromInline
    let body: @Sendable (LocalEvent) throws -> Void

    init(listener: LocalListener, body: @escaping @Sendable (LocalEvent) throws -> Void) {
        self.listener = listener
        self.body = body
    }
}

/// Everyone who listens to events of type `E`, found once and kept until a registration changes.
@usableFromInline
final class ListenerList<E: Event>: Sendable {
    @usableFromInline
    let typed: ContiguousArray<TypedListener<E>>
    @usableFromInline
    let patterns: ContiguousArray<PatternListener>
    @usableFromInline
    let reporter: FailureReporter
    @usableFromInline
    let codec: LocalEvent.Codec?

    init(
        typed: ContiguousArray<TypedListener<E>>,
        patterns: ContiguousArray<PatternListener>,
        reporter: FailureReporter,
        codec: LocalEvent.Codec?
    ) {
        self.typed = typed
        self.patterns = patterns
        self.reporter = reporter
        self.codec = codec
    }

    var count: Int { typed.count + patterns.count }

    /// Calls every listener, the typed ones first. One that throws is reported and the next is called.
    @inlinable
    func deliver(_ event: E) {
        // A span lends its elements, where an array would retain and release each closure.
        let typed = self.typed
        let typedSpan = typed.span
        for index in typedSpan.indices {
            do {
                try typedSpan[index].body(event)
            } catch {
                reporter.report(error, from: typedSpan[index].listener, topic: E.topic)
            }
        }
        let patterns = self.patterns
        let patternSpan = patterns.span
        if patterns.isEmpty { return }
        let erased = LocalEvent(event, codec: codec)
        for index in patternSpan.indices {
            do {
                try patternSpan[index].body(erased)
            } catch {
                reporter.report(error, from: patternSpan[index].listener, topic: E.topic)
            }
        }
    }
}
