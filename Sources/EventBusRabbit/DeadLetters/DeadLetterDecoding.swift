import EventBus

extension DeadLetter {
    /// Reads a dead letter: one that a consumer of ours wrote, or one that the broker made by itself.
    init(_ message: AMQPMessage, group: String) {
        let headers = message.properties.headers
        let death = Death(headers)
        // Without anything that could be its topic an event is still an entry.
        let decoded = try? DecodedMessage(message, isRedelivered: false)
        let envelope =
            decoded?.envelope
            ?? Envelope(
                id: message.properties.messageID.map { EventID($0) } ?? EventID(),
                topic: "eventbus.no-topic",
                payload: message.body,
                contentType: message.properties.contentType ?? "application/octet-stream"
            )
        let last = headers[WireHeaders.lastFailure]?.string.flatMap { EventTime(rfc3339: $0) }
        let first = headers[WireHeaders.firstFailure]?.string.flatMap { EventTime(rfc3339: $0) }
        let attempts = decoded?.failedAttempts ?? 0
        let reason = headers[WireHeaders.reason]?.string ?? death?.reason ?? "unknown"
        self.init(
            envelope: envelope,
            group: headers[WireHeaders.group]?.string ?? group,
            queue: headers[WireHeaders.queue]?.string ?? death?.queue ?? "",
            failure: Failure(
                reason: Failure.Reason(rawValue: reason),
                errorType: headers[WireHeaders.errorType]?.string ?? "",
                message: headers[WireHeaders.errorMessage]?.string
                    ?? "given up by the broker: \(death?.reason ?? "without a reason")",
                attempt: attempts
            ),
            attempts: attempts,
            firstFailure: first,
            lastFailure: last ?? death?.time ?? envelope.time
        )
    }
}

extension DeadLetter {
    /// Reads a delayed event that found no queue: its routing key still says where it was to go.
    init(unroutable message: AMQPMessage) {
        self.init(message, group: "")
        let words = message.routingKey.split(separator: ".")
        if words.count == DelayRoute.levels + 3, words[DelayRoute.levels] == "q" {
            queue = words.suffix(2).joined(separator: ".")
            group = String(words[DelayRoute.levels + 1])
        }
        failure.reason = Failure.Reason(rawValue: "unroutable_delay")
        failure.message = "its queue was gone when its delay had passed"
    }
}

/// The broker's record of the latest time it gave an event up, the delay levels left out.
private struct Death {
    var reason: String
    var queue: String
    var time: EventTime?

    init?(_ headers: [String: HeaderValue]) {
        guard case .array(let entries)? = headers[WireHeaders.death] else { return nil }
        for entry in entries {
            guard case .table(let values) = entry, let reason = values["reason"]?.string, reason != "expired",
                let queue = values["queue"]?.string
            else { continue }
            self.reason = reason
            self.queue = queue
            if case .timestamp(let seconds)? = values["time"] {
                let (milliseconds, overflow) = seconds.multipliedReportingOverflow(by: 1000)
                self.time = overflow ? nil : EventTime(milliseconds: milliseconds)
            }
            return
        }
        return nil
    }
}
