public import EventBus

extension RedisLock: InspectableLock {
    /// Returns the holder of `resource`, or `nil` if it is free.
    ///
    /// If somebody has removed the resource's fencing token from the server, the holder's `fencingToken` and `heldFor` are
    /// zero.
    public func holder(of resource: String) async throws -> LockHolder? {
        let reply = try await client.run(
            LockScripts.inspect,
            keys: LockKeys(prefix: prefix, resource: resource).all,
            [],
            isIdempotent: true
        )
        return try holder(of: resource, reply)
    }

    /// Returns the holders of all resources with the prefix of this lock, in no particular order and at most `limit`.
    ///
    /// It walks through all keys of the server, or of each node of a cluster, in steps (`SCAN`), so it is meant for operators. A resource that is
    /// locked or released meanwhile may be missing.
    public func holders(limit: Int) async throws -> [LockHolder] {
        var holders: [LockHolder] = []
        var seen: Set<ExactString> = []
        for server in try await client.commandChannel.servers() {
            try await addHolders(on: server, to: &holders, limit: limit, &seen)
            if holders.count >= limit { break }
        }
        return holders
    }

    private func addHolders(
        on server: RedisConnection,
        to holders: inout [LockHolder],
        limit: Int,
        _ seen: inout Set<ExactString>
    ) async throws {
        var cursor = "0"
        repeat {
            let reply = try await server.send(
                RedisCommand(
                    "SCAN",
                    [.text(cursor), "MATCH", .text(LockKeys.holderPattern(prefix: prefix)), "COUNT", 1000]
                )
            ).orThrow()
            guard let parts = reply.array, parts.count == 2, let next = parts[0].text, let keys = parts[1].array else {
                throw EventBusError(.unavailable, "Redis answered SCAN with something that makes no sense")
            }
            cursor = next
            let resources = keys.compactMap { $0.text.flatMap { LockKeys.resource(ofHolderKey: $0, prefix: prefix) } }
                .filter { seen.insert(ExactText($0)).inserted }
            let replies = try await client.commandChannel.run(
                LockScripts.inspect,
                each: resources.map { (LockKeys(prefix: prefix, resource: $0).all, []) }
            )
            for (resource, reply) in zip(resources, replies) {
                guard holders.count < limit else { return }
                if let holder = try holder(of: resource, reply.orThrow()) { holders.append(holder) }
            }
        } while cursor != "0"
    }

    /// Ends the grant of `holder` and hands the resource to the first waiter.
    @discardableResult
    public func forceRelease(_ holder: LockHolder) async throws -> Bool {
        let reply = try await client.run(
            LockScripts.release,
            keys: LockKeys(prefix: prefix, resource: holder.resource).all,
            [.text(holder.owner)] + handOverArguments,
            isIdempotent: true,
            isCancellable: false
        )
        return reply.text == "released"
    }

    /// Reads the reply to ``LockScripts/inspect``. Only an empty one means that the resource is free.
    private func holder(of resource: String, _ reply: RedisValue) throws(EventBusError) -> LockHolder? {
        if reply.array?.isEmpty == true { return nil }
        guard let parts = reply.array, parts.count == 5, let owner = parts[0].text, let remaining = parts[1].integer,
            let now = parts[3].text.flatMap({ UInt64($0) }), let waiters = parts[4].integer
        else {
            throw EventBusError(.unavailable, "Redis answered a lock script with something that makes no sense")
        }
        // It is unknown if somebody has removed it.
        let fence = parts[2].text.flatMap { UInt64($0) }
        return LockHolder(
            resource: resource,
            owner: owner,
            process: HolderIdentity.name(ofOwner: owner),
            fencingToken: fence ?? 0,
            // A token is the time of its grant, unless the clock was set back.
            heldFor: .microseconds(Int64(clamping: now - min(now, fence ?? now))),
            remaining: .milliseconds(max(0, remaining)),
            waiters: Int(waiters)
        )
    }
}
