public import EventBus

extension RabbitConfiguration {
    /// Checks values that would otherwise fail late.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration`, which names the value.
    public func validate() throws(EventBusError) {
        func check(_ condition: Bool, _ message: @autoclosure () -> String) throws(EventBusError) {
            if !condition { throw EventBusError(.invalidConfiguration, message()) }
        }
        try check(!hosts.isEmpty, "hosts is empty; name at least one broker")
        for host in hosts {
            try check(!host.name.isEmpty, "a host has no name")
            try check(
                (1...65535).contains(host.port),
                "the port \(host.port) of \(host.name) is not between 1 and 65535"
            )
        }
        for (name, value) in [
            ("virtualHost", virtualHost), ("exchange", exchange), ("credentials.user", credentials.user),
        ] {
            try check(!value.isEmpty, "\(name) is empty")
            try check(value.utf8.count <= 127, "\(name) has \(value.utf8.count) bytes, 127 are allowed")
            try check(!value.utf8.contains(0), "\(name) holds a zero byte")
        }
        try check(!exchange.hasPrefix("amq."), "exchange is \(exchange); names that begin with amq. are the broker's")
        for entry in allowedReplyQueues {
            try check(
                !entry.isEmpty && !entry.dropLast().contains("*"),
                "allowedReplyQueues has \(entry.quotedForError); give a queue's name, or its beginning and a * at the end"
            )
        }
        try check(!credentials.password.utf8.contains(0), "credentials.password holds a zero byte")
        try check(
            heartbeat == .zero || heartbeat >= .seconds(1),
            "heartbeat is \(heartbeat); it is zero or at least 1 s"
        )
        try check(heartbeat <= .seconds(65535), "heartbeat is \(heartbeat); 65,535 s are allowed")
        try check(maximumUnconfirmedEvents > 0, "maximumUnconfirmedEvents is \(maximumUnconfirmedEvents)")
        try check(maximumUnconfirmedBytes > 0, "maximumUnconfirmedBytes is \(maximumUnconfirmedBytes)")
        try check(maximumBodySize > 0, "maximumBodySize is \(maximumBodySize)")
        try check(connectTimeout > .zero, "connectTimeout is \(connectTimeout); connecting takes time")
        try check(commandTimeout > .zero, "commandTimeout is \(commandTimeout); an answer takes time")
        try reconnect.validate()
        if let livenessTimeout {
            try check(livenessTimeout > .zero, "livenessTimeout is \(livenessTimeout); give nil for no limit")
        }
        for (subscription, queue) in queues {
            try check(
                queue.arguments["x-queue-type"] != "stream" && queue.consumerArguments["x-stream-offset"] == nil,
                "the queue of \(subscription) is a stream, which takes no event back; bind a queue to the exchange instead"
            )
            guard let name = queue.name else { continue }
            try check(
                (1...Self.maximumQueueName).contains(name.utf8.count),
                "the queue of \(subscription) has a name of \(name.utf8.count) bytes; give 1 to \(Self.maximumQueueName)"
            )
        }
        let names = queues.values.compactMap(\.name)
        try check(Set(names).count == names.count, "two subscriptions have one queue")
        try check(newQueueGracePeriod >= .zero, "newQueueGracePeriod is negative")
        try check(consumerCheckInterval > .zero, "consumerCheckInterval is \(consumerCheckInterval)")
        if let tls {
            try check(
                (tls.certificateFile == nil) == (tls.keyFile == nil),
                "tls.certificateFile and tls.keyFile go together"
            )
            try check(
                !tls.usesCertificateIdentity || tls.certificateFile != nil,
                "tls.usesCertificateIdentity needs tls.certificateFile"
            )
        }
    }
}
