import ConnectionThread
import EventBus

/// The question to the Sentinels for the address of a service's primary. It blocks.
///
/// All of them are asked at once, and the answer with the latest configuration epoch counts, because a Sentinel that was
/// separated from the others still names the former primary.
final class SentinelQuery: Sendable {
    private let hosts: [RedisConfiguration.Host]
    let service: String
    private let credentials: RedisConfiguration.Credentials?
    private let tls: RedisConfiguration.TLS?
    private let lookup: RedisConnection.AddressLookup
    /// The latest epoch of an answer.
    private let latestEpoch = Locked(Int64.min)

    init(
        _ configuration: RedisConfiguration,
        hosts: [RedisConfiguration.Host],
        service: String,
        lookup: @escaping RedisConnection.AddressLookup
    ) {
        self.hosts = hosts
        self.service = service
        self.credentials = configuration.sentinelCredentials
        self.tls = configuration.tls
        self.lookup = lookup
    }

    /// The name and the port of a primary, and the epoch in which it was elected.
    struct Answer: Hashable {
        var host: String
        var port: Int
        var epoch: Int64

        /// Reads the reply to `SENTINEL MASTER`.
        init?(_ reply: RedisValue) {
            let words = reply.array?.map { $0.text ?? "" } ?? []
            var fields: [String: String] = [:]
            for index in stride(from: 0, to: words.count - 1, by: 2) { fields[words[index]] = words[index + 1] }
            guard let host = fields["ip"], !host.isEmpty, let port = fields["port"].flatMap({ Int($0) }) else {
                return nil
            }
            self.host = host
            self.port = port
            self.epoch = fields["config-epoch"].flatMap { Int64($0) } ?? 0
        }
    }

    /// The maximum time for the conversation with one Sentinel, and for those that come after the first.
    static let patience = Duration.milliseconds(500)

    /// Returns the addresses of the primary.
    ///
    /// - Parameter isOutdatedRefused: `true` to throw if the Sentinels that answer name an earlier primary than Sentinels
    ///   have named before. Otherwise it is returned, because Sentinels that were set up again begin with the first epoch.
    func primary(
        until deadline: MonotonicTime,
        isOutdatedRefused: Bool = false
    ) throws(EventBusError) -> [SocketAddress] {
        let answers = callDetached(
            for: hosts,
            threadName: "redis-sentinel",
            until: deadline,
            patience: Self.patience
        ) { host throws(EventBusError) in try self.ask(host, until: deadline) }
        let newest: Answer
        switch Self.newest(of: answers) {
        case .success(let answer): newest = answer
        case .failure(let position, let error):
            let host = hosts[position]
            throw EventBusError(
                .unavailable,
                "no Redis Sentinel names the primary of \(service.quotedForError); the last one, \(host.name):\(host.sentinelPort): \(error.message)",
                underlying: error
            )
        case .nobody: throw EventBusError(.unavailable, "no Redis Sentinel is configured")
        }
        let isOutdated = latestEpoch.withLock { latest in
            defer { latest = max(latest, newest.epoch) }
            return newest.epoch < latest
        }
        if isOutdated, isOutdatedRefused {
            throw EventBusError(.unavailable, "the Redis Sentinels that answer name a former primary")
        }
        return try lookup(newest.host, newest.port, false)
    }

    /// The best of several answers.
    private enum Outcome {
        case success(Answer)
        /// None of them is an answer. This is the last one, and its position.
        case failure(Int, EventBusError)
        case nobody
    }

    /// Returns the answer with the latest epoch.
    private static func newest(of answers: [Result<Answer, EventBusError>?]) -> Outcome {
        var outcome = Outcome.nobody
        for (position, answer) in answers.enumerated() {
            switch (answer, outcome) {
            case (.success(let answer), .success(let newest)) where answer.epoch < newest.epoch: break
            case (.success(let answer), _): outcome = .success(answer)
            case (_, .success): break
            case (.failure(let error), _): outcome = .failure(position, error)
            case (nil, _): outcome = .failure(position, EventBusError(.unavailable, "it did not answer in time"))
            }
        }
        return outcome
    }

    /// Asks all addresses of a host, because several Sentinels may share a name.
    private func ask(
        _ host: RedisConfiguration.Host,
        until deadline: MonotonicTime
    ) throws(EventBusError) -> Answer {
        let addresses = try lookup(host.name, host.sentinelPort, false)
        if addresses.count == 1 { return try ask(addresses[0], until: deadline) }
        let answers = callDetached(
            for: addresses,
            threadName: "redis-sentinel",
            until: deadline,
            patience: Self.patience
        ) { address throws(EventBusError) in try self.ask(address, until: deadline) }
        switch Self.newest(of: answers) {
        case .success(let answer): return answer
        case .failure(_, let error): throw error
        case .nobody: throw EventBusError(.unavailable, "it has no address")
        }
    }

    private func ask(_ address: SocketAddress, until deadline: MonotonicTime) throws(EventBusError) -> Answer {
        let end = min(deadline, MonotonicTime.now.advanced(by: Self.patience))
        let conversation = try BlockingConversation(with: address, tls: tls, until: end)
        if let credentials {
            let words = [credentials.user, credentials.password].compactMap { $0 }
            let reply = try conversation.ask(RedisCommand("AUTH", words.map { .text($0) }))
            if case .error(let message) = reply { throw RedisServerError(withoutSecrets: message).asBusError }
        }
        var answer = try master(conversation)
        // While a Sentinel completes a failover, its reply to MASTER names the former primary with the new epoch. Its
        // reply to the other question names the new primary from the promotion on.
        let current = try conversation.ask(RedisCommand("SENTINEL", ["GET-MASTER-ADDR-BY-NAME", .text(service)]))
        if let words = current.array, words.count == 2, let host = words[0].text, !host.isEmpty,
            let port = words[1].text.flatMap({ Int($0) }), (host, port) != (answer.host, answer.port)
        {
            // The epoch may have changed between the two replies.
            answer.epoch = try master(conversation).epoch
            (answer.host, answer.port) = (host, port)
        }
        return answer
    }

    private func master(_ conversation: BlockingConversation) throws(EventBusError) -> Answer {
        let reply = try conversation.ask(RedisCommand("SENTINEL", ["MASTER", .text(service)])).orThrow()
        guard let answer = Answer(reply) else {
            throw EventBusError(.unavailable, "its answer to SENTINEL MASTER makes no sense")
        }
        return answer
    }
}
