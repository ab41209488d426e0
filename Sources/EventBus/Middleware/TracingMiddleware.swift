internal import Instrumentation
package import Tracing

/// Middleware that creates spans for publishing and handling, and carries the trace context in the headers.
///
/// It uses the tracer and the instruments that the service bootstrapped with `InstrumentationSystem`, and is left out
/// if there are none. The publish span is of kind producer, and the handling span of kind consumer. The latter
/// continues the producer's trace and links to its span. The attributes are those of OpenTelemetry's conventions for
/// messaging: the destination is the topic, its template is the subscription's pattern, and the error type is the code of
/// an ``EventBusError`` or the type of any other error. The `messaging.system` is the ``Transport/name`` of the bus's
/// transport, such as `rabbitmq`, unless you choose another one:
///
/// ```swift
/// configuration.publishMiddleware[0] = TracingMiddleware(system: "shop-events")
/// configuration.consumeMiddleware[0] = TracingMiddleware(system: "shop-events")
/// ```
public struct TracingMiddleware: PublishMiddleware, ConsumeMiddleware, PromptMiddleware {
    private let fixedTracer: (any Tracer)?
    private let system: String?

    /// Creates a step that uses the bootstrapped instrumentation.
    ///
    /// - Parameter system: The value of `messaging.system`. Defaults to the name of the bus's transport.
    public init(system: String? = nil) {
        fixedTracer = nil
        self.system = system
    }

    package init(tracer: any Tracer, system: String? = nil) {
        fixedTracer = tracer
        self.system = system
    }

    private var tracer: any Tracer { fixedTracer ?? InstrumentationSystem.tracer }
    private var instrument: any Instrument { fixedTracer ?? InstrumentationSystem.instrument }

    /// A Boolean value indicating whether the service has a tracer or an instrument.
    public var isActive: Bool {
        !(instrument is NoOpInstrument) || !(tracer is NoOpTracer)
    }

    /// Wraps the publish in a producer span and adds its context to the headers.
    public func publish(
        _ event: OutgoingEvent,
        next: PublishNext
    ) async throws -> PublishReceipt {
        let span = tracer.startAnySpan(
            "publish \(event.envelope.topic)",
            context: .current ?? carried(by: event.envelope),
            ofKind: .producer
        )
        defer { span.end() }
        span.attributes["messaging.system"] = MessagingConventions.system(system, transportName: event.transportName)
        span.attributes["messaging.operation.name"] = "publish"
        span.attributes["messaging.operation.type"] = "send"
        span.attributes["messaging.destination.name"] = event.envelope.topic.description
        span.attributes["messaging.message.id"] = event.envelope.id.description
        let correlationID = event.envelope.correlationID ?? CorrelationID(event.envelope.id)
        span.attributes["messaging.message.conversation_id"] = correlationID.description
        var event = event
        inject(span.context, into: &event.envelope)
        do {
            return try await next(event)
        } catch {
            span.fail(with: error)
            throw error
        }
    }

    /// Adds the current task's trace to an envelope that is published later elsewhere, where the trace continues.
    package func injectTrace(in envelope: inout Envelope) {
        guard isActive, let context = ServiceContext.current else { return }
        inject(context, into: &envelope)
    }

    /// Adds a trace to an envelope, unless its headers would become too large. The baggage may be that of a handled event.
    private func inject(_ context: ServiceContext, into envelope: inout Envelope) {
        let own = envelope.headers
        instrument.inject(context, into: &envelope.headers, using: HeaderInjector())
        if envelope.headerSize > TransportLimits.maximumHeaderSize { envelope.headers = own }
    }

    /// Returns the trace context of an envelope that was created elsewhere.
    private func carried(by envelope: Envelope) -> ServiceContext {
        var context = ServiceContext.topLevel
        if !envelope.headers.isEmpty { instrument.extract(envelope.headers, into: &context, using: HeaderExtractor()) }
        return context
    }

    /// Wraps the handler in a consumer span that continues the producer's trace.
    public func consume(
        _ context: EventContext,
        next: ConsumeNext
    ) async throws {
        var serviceContext = ServiceContext.current ?? .topLevel
        instrument.extract(context.envelope.headers, into: &serviceContext, using: HeaderExtractor())
        let span = tracer.startAnySpan(
            "process \(context.subscription.pattern)",
            context: serviceContext,
            ofKind: .consumer
        )
        defer { span.end() }
        if !context.envelope.headers.isEmpty {
            span.addLink(SpanLink(context: serviceContext, attributes: [:]))
        }
        span.attributes["messaging.system"] = MessagingConventions.system(system, transportName: context.transportName)
        span.attributes["messaging.operation.name"] = "process"
        span.attributes["messaging.operation.type"] = "process"
        span.attributes["messaging.destination.name"] = context.envelope.topic.description
        span.attributes["messaging.destination.template"] = context.subscription.pattern
        span.attributes["messaging.destination.subscription.name"] = context.subscription.name
        span.attributes["messaging.consumer.group.name"] = context.subscription.group
        span.attributes["messaging.message.id"] = context.envelope.id.description
        span.attributes["messaging.message.conversation_id"] = context.correlationID.description
        span.attributes["eventbus.attempt"] = context.attempt
        do {
            try await ServiceContext.$current.withValue(span.context) { try await next(context) }
        } catch let error as any UncountedError {
            throw error
        } catch {
            span.fail(with: error)
            throw error
        }
    }
}

extension Span {
    /// Records an error as the reason for the failure of the span. The type of an error of the bus is its code.
    fileprivate func fail(with error: any Error) {
        recordError(error)
        attributes["error.type"] = MessagingConventions.errorType(of: error)
        setStatus(.init(code: .error))
    }
}

private struct HeaderInjector: Injector {
    func inject(_ value: String, forKey key: String, into headers: inout EventHeaders) {
        headers[key] = .string(value)
    }
}

private struct HeaderExtractor: Extractor {
    func extract(key: String, from headers: EventHeaders) -> String? {
        InheritedTrace.text(of: headers[key], named: key)
    }
}
