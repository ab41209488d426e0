internal import Logging

extension EventBus {
    /// Asks a question and waits for the answer of whichever service responds to it.
    ///
    /// A request is sent once, answered at most once, and never retried by the bus: ask again after an error. It passes
    /// through the publish middleware, which waits with it for the reply. Of the options `deadline`, `delay` and
    /// `requiresSubscriber` have no meaning here.
    ///
    /// - Throws: ``EventBusError``: `.unroutable` if no one responds to the topic; `.timedOut` if no answer came in time;
    ///   `.indeterminate` if the connection was lost after the request was sent, so that a responder may have handled it
    ///   and its answer cannot arrive; `.remoteFailure` if the responder failed or answered what is no `Reply`; and what
    ///   ``publish(_:options:)-(E,_)`` throws.
    public func request<E: RequestEvent>(
        _ request: E,
        timeout: Duration,
        options: PublishOptions = .init()
    ) async throws -> E.Reply {
        let deadline = clock.now.advanced(by: timeout)
        var envelope = try envelope(for: request, options: options)
        let lifetime = Int64(timeout.inNanoseconds / 1_000_000)
        envelope.headers[RequestHeaders.expires] = .int(EventTime.now().milliseconds &+ lifetime)
        try envelope.validate()
        if try !admitNow() { try await admit(until: deadline) }
        defer { publishFinished() }
        let reply = try await publishChain.request(OutgoingEvent(envelope: envelope, delay: .zero, deadline: deadline))
        if let message = reply.headers[RequestHeaders.error]?.string {
            throw EventBusError(.remoteFailure, "the responder to \(E.topic) failed: \(message.printable)")
        }
        do {
            return try codecs.decode(E.Reply.self, from: reply)
        } catch {
            throw EventBusError(.remoteFailure, "the answer to \(E.topic) is no \(E.Reply.self)", underlying: error)
        }
    }

    /// Answers requests of one type, as a member of `group`: each request goes to one member.
    ///
    /// What the handler returns is the reply. What it throws reaches the requester as `.remoteFailure`, in words only
    /// with ``SubscriptionOptions/repliesWithErrorText``. Neither is retried. The options cannot have `broadcast` or an
    /// `inbox`. A request that waited for a minute longer than its requester is dropped unanswered.
    @discardableResult
    public func respond<E: RequestEvent>(
        to type: E.Type,
        group: String,
        name: String? = nil,
        options: SubscriptionOptions = .init(),
        handler: @escaping @Sendable (_ request: E, _ context: EventContext) async throws -> E.Reply
    ) -> Subscription {
        let (transport, codecs, source) = (transport, codecs, configuration.source)
        let respond: @Sendable (E, EventContext) async throws -> Void = { request, context in
            if let expires = context.headers[RequestHeaders.expires]?.int,
                EventTime.now().milliseconds > expires.addingReportingOverflow(RequestHeaders.clockSkew).partialValue
            {
                context.logger.info("a request came too late to be answered")
                return
            }
            var reply = Envelope(
                topic: E.topic,
                payload: [],
                contentType: codecs.encoder.contentType,
                source: source,
                correlationID: context.correlationID,
                causationID: context.id
            )
            do {
                reply.payload = try codecs.encode(try await handler(request, context))
            } catch {
                context.logger.info("a request failed", metadata: [LogKeys.error: "\("\(error)".printable)"])
                reply.headers[RequestHeaders.error] =
                    options.repliesWithErrorText
                    ? .string(Failure(reason: .handlerFailed, error: error).message) : RequestHeaders.withoutText
            }
            guard let address = context.replyAddress else { return }
            let answer = reply
            do {
                try await withoutCancellation { try await transport.reply(answer, to: address) }
            } catch {
                // The requester asks again after its deadline; the handler is not to run twice for one request.
                context.logger.info("a reply could not be sent", metadata: [LogKeys.error: "\("\(error)".printable)"])
            }
        }
        return subscribe(group: group, name: name, options: options, purpose: .requests) {
            $0.on(type, handler: respond)
        }
    }
}

/// The headers of requests and replies.
enum RequestHeaders {
    /// When the requester stops waiting, in milliseconds since 1970.
    static let expires = "request-expires"
    /// By how much the clocks of two hosts may differ, in milliseconds, before a request counts as expired.
    static let clockSkew: Int64 = 60_000
    /// That the responder failed; its error in words where the responder says it.
    static let error = "reply-error"
    /// What stands for an error whose words stay with the responder.
    static let withoutText: HeaderValue = "the reason is in the responder's log"
}
