internal import Logging

/// The responder of one subscription to requests of one type.
struct Responder<E: RequestEvent>: Sendable {
    let transport: any Transport
    let codecs: CodecRegistry
    let payloads: PayloadPipeline
    let source: String?
    /// A Boolean value indicating whether the requester gets the text of the handler's error.
    let repliesWithErrorText: Bool
    let handler: @Sendable (E, EventContext) async throws -> E.Reply

    /// Runs the handler and sends its reply.
    ///
    /// - Throws: The error of the handler, if the requester does not get it.
    func respond(to request: E, _ context: EventContext) async throws {
        guard let address = context.replyAddress else {
            // Nobody waits for a reply, so the request is handled like any event.
            _ = try await handler(request, context)
            return
        }
        if let expires = context.headers[RequestHeaders.expires]?.int,
            context.clock.wallTime.milliseconds - RequestHeaders.clockSkew > expires
        {
            context.handlerEvidence = .none
            context.logger.info("request expired before its reply")
            return
        }
        var answer: Envelope
        do {
            answer = reply(to: context, payload: try codecs.encode(try await handler(request, context)))
            try payloads.encode(&answer)
            try await context.publishHeld()
        } catch {
            // Another responder gets the request and sends the reply.
            if context.isGivenUp { throw error }
            context.discardHeld()
            context.handlerEvidence = HandlerEvidence(of: error)
            answer = failure(error, context)
        }
        do {
            do {
                try await send(answer, to: address)
            } catch let error as EventBusError where error.code.isAboutTheEvent {
                // The reply is too large, for example. The requester must not wait until its deadline.
                try await send(failure(error, context), to: address)
            }
        } catch {
            // The requester asks again after its deadline. The handler must not run twice for one request.
            context.logger.info("reply could not be sent", metadata: [LogKeys.error: "\(String(loggable: error))"])
        }
    }

    private func send(_ reply: Envelope, to address: ReplyAddress) async throws {
        try await withoutCancellation { [transport] in try await transport.reply(reply, to: address) }
    }

    private func failure(_ error: any Error, _ context: EventContext) -> Envelope {
        context.logger.info("request failed", metadata: [LogKeys.error: "\(String(loggable: error))"])
        var reply = reply(to: context, payload: [])
        reply.headers[RequestHeaders.error] =
            repliesWithErrorText
            ? .string(Failure(reason: .handlerFailed, error: error).message) : RequestHeaders.withoutText
        return reply
    }

    private func reply(to context: EventContext, payload: [UInt8]) -> Envelope {
        Envelope(
            topic: context.topic,
            payload: payload,
            contentType: codecs.encoder.contentType,
            source: source,
            correlationID: context.correlationID,
            causationID: context.id.portable
        )
    }
}
