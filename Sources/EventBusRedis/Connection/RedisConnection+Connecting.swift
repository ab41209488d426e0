import ConnectionThread
import DequeModule
import EventBus

extension RedisConnection {
    /// Begins an attempt to connect, which ends in service or in ``lose(_:)`` within the configured time.
    func connect() {
        guard phase == .idle || phase == .pausing else { return }
        phase = .connecting
        generation += 1
        let generation = generation
        connectDeadline = .now.advanced(by: configuration.connectTimeout)
        thread.schedule(at: connectDeadline) { [weak self] in
            self?.assumeIsolated { $0.giveUpAddress(generation) }
        }
        if case .sentinel = role { credentials = configuration.sentinelCredentials }
        guard let provider = configuration.credentialsProvider, needsCredentials else { return readAuthorities() }
        credentialsTask?.cancel()
        // Detached, because the closure must not run on the connection's thread.
        credentialsTask = Task.detached { [weak self] in
            let result: Result<RedisConfiguration.Credentials, any Error>
            do {
                result = .success(try await provider())
            } catch {
                result = .failure(error)
            }
            await self?.noteCredentials(result, generation)
        }
    }

    /// A Boolean value indicating whether the login is that of the configuration's service.
    private var needsCredentials: Bool { if case .sentinel = role { false } else { true } }

    private func noteCredentials(
        _ result: Result<RedisConfiguration.Credentials, any Error>,
        _ generation: UInt64
    ) {
        guard generation == self.generation, phase == .connecting else { return }
        credentialsTask = nil
        switch result {
        case .success(let credentials):
            self.credentials = credentials
            readAuthorities()
        case .failure(let error):
            lose(EventBusError(.unavailable, "the credentials for Redis could not be obtained", underlying: error))
        }
    }

    /// Reads the trusted authorities on a separate thread, unless they are known.
    private func readAuthorities() {
        guard let settings = configuration.tls, TLSAuthorities.needsReading(settings) else { return findAddresses() }
        let generation = generation
        let problem = startDetachedThread(name: "redis-tls", stackSize: 1 << 20) { [weak self] in
            let result = Result { () throws(EventBusError) in try TLSAuthorities.read(settings) }
            guard let self else { return }
            Task.immediate { await self.noteAuthorities(result, generation) }
        }
        if problem != 0 {
            lose(EventBusError(.unavailable, "no thread to read the TLS authorities: \(String(errorNumber: problem))"))
        }
    }

    private func noteAuthorities(_ result: Result<Void, EventBusError>, _ generation: UInt64) {
        guard generation == self.generation, phase == .connecting else { return }
        switch result {
        case .success: findAddresses()
        case .failure(let error): lose(error)
        }
    }

    private func findAddresses() {
        switch configuration.endpoint {
        case .unix(let path):
            tryAddresses([SocketAddress.unix(path: path)])
        case .tcp(let host, let port):
            if let addresses = try? lookup(host, port, true) { return tryAddresses(addresses) }
            resolve { [lookup] () throws(EventBusError) in try lookup(host, port, false) }
        case .cluster:
            guard let hosts else { return lose(EventBusError(.unavailable, "the Redis cluster has no address")) }
            resolve { [lookup, connectDeadline] () throws(EventBusError) in
                try hosts.resolve(lookup, until: connectDeadline)
            }
        case .sentinel(let hosts, _):
            if case .sentinel = role {
                resolve { [lookup, connectDeadline] () throws(EventBusError) in
                    let found = callDetached(
                        for: hosts,
                        threadName: "redis-resolve",
                        until: connectDeadline,
                        patience: SentinelQuery.patience
                    ) { host throws(EventBusError) in try lookup(host.name, host.sentinelPort, false) }
                    return found.flatMap { (try? $0?.get()) ?? [] }
                }
                return
            }
            guard let query else { return lose(EventBusError(.unavailable, "no Redis Sentinel is configured")) }
            resolve { [connectDeadline] () throws(EventBusError) in try query.primary(until: connectDeadline) }
        }
    }

    /// Finds the addresses on a separate thread, because `find` may block for any length of time.
    private func resolve(_ find: @escaping @Sendable () throws(EventBusError) -> [SocketAddress]) {
        let generation = generation
        let problem = startDetachedThread(name: "redis-resolve", stackSize: 1 << 20) { [weak self] in
            let result: Result<[SocketAddress], EventBusError>
            do throws(EventBusError) {
                result = .success(try find())
            } catch {
                result = .failure(error)
            }
            guard let self else { return }
            Task.immediate { await self.noteAddresses(result, generation) }
        }
        if problem != 0 {
            lose(EventBusError(.unavailable, "no thread to look up the Redis host: \(String(errorNumber: problem))"))
        }
    }

    private func noteAddresses(_ result: Result<[SocketAddress], EventBusError>, _ generation: UInt64) {
        guard generation == self.generation, phase == .connecting else { return }
        switch result {
        case .success(let addresses): tryAddresses(addresses)
        case .failure(let error): lose(error)
        }
    }

    private func tryAddresses(_ addresses: [SocketAddress]) {
        let companion = partner?.presence.server ?? (hasServed ? nil : presence.observedServer)
        self.addresses.begin(addresses, preferring: companion?.address, until: connectDeadline)
        tryNextAddress(after: EventBusError(.unavailable, "the Redis host has no address"))
    }

    func tryNextAddress(after error: EventBusError) {
        generation += 1
        dropSocket(reset: true)
        // They were sent to an earlier address, and belong to the greeting only.
        _ = traffic.abandon()
        phase = .connecting
        var error = error
        while let (address, deadline) = addresses.next(at: .now) {
            do throws(EventBusError) {
                let socket = try RedisSocket.connecting(to: address)
                self.socket = socket
                let generation = generation
                watch = thread.watch(socket.descriptor, for: .writable) { [weak self] events in
                    self?.assumeIsolated { $0.serve(events, generation) }
                }
                thread.schedule(at: deadline) { [weak self] in
                    self?.assumeIsolated { $0.giveUpAddress(generation) }
                }
                return
            } catch let failure {
                error = failure
            }
        }
        lose(error)
    }

    /// Handles the end of the time for the address that is being tried or resolved.
    private func giveUpAddress(_ generation: UInt64) {
        guard generation == self.generation, phase == .connecting || phase == .securing || phase == .greeting
        else { return }
        if let task = credentialsTask {
            task.cancel()
            credentialsTask = nil
            return lose(
                EventBusError(
                    .unavailable,
                    "the credentials for Redis were not obtained within \(configuration.connectTimeout)"
                )
            )
        }
        var message = "Redis at \(configuration) did not answer within \(configuration.connectTimeout)"
        // A server without TLS waits for the end of a command.
        if phase == .securing { message += "; its port may be one without TLS" }
        tryNextAddress(after: EventBusError(.unavailable, message))
    }

    /// Handles the end of the socket's attempt to connect, which succeeded or failed.
    func finishConnecting() {
        guard let socket, let watch else { return }
        let problem = socket.problem
        guard problem == 0 else {
            return tryNextAddress(
                after: EventBusError(
                    .unavailable,
                    "no connection to Redis at \(configuration): \(String(errorNumber: problem))"
                )
            )
        }
        do throws(EventBusError) {
            reader = try ReplyReader(maximumSize: configuration.maximumReplySize)
            if let settings = configuration.tls, let address = addresses.current {
                tls = try TLSStream(over: socket, to: address.host, settings)
            }
        } catch {
            return lose(error)
        }
        thread.setEvents(.readable, of: watch)
        if tls == nil { return beginGreeting() }
        phase = .securing
        shakeHands()
    }

    /// Continues the negotiation of TLS.
    func shakeHands() {
        guard let tls else { return }
        do throws(EventBusError) {
            guard try tls.shakeHands() else { return watchSocket() }
        } catch {
            return tryNextAddress(after: error)
        }
        if configuration.tls?.insecureSkipsVerification == true {
            logger.info(
                "TLS certificate verification is disabled: any server can impersonate Redis",
                metadata: ["redis.address": "\(configuration)"]
            )
        }
        watchSocket()
        beginGreeting()
    }

    private func beginGreeting() {
        phase = .greeting
        handshake = Handshake(configuration, credentials, role: role)
        greet()
    }

    /// Sends the next command of the greeting.
    func greet() {
        if let command = handshake.next() {
            send(command, of: .greeting)
        } else {
            beginService()
        }
    }

    private func beginService() {
        phase = .ready
        addresses.noteSuccess()
        readySince = .now
        lastReceived = readySince
        lastDelivered = traffic.written
        isAskingRole = false
        setPresence(addresses.current.map { ServerIdentity(runID: handshake.runID, address: $0) })
        hasServed = true
        noteRefusedRole()
        // No command may reach another server than that of the partner.
        if case .commands = role { comparePartner() }
        guard phase == .ready else { return }
        setRefusal(nil)
        connectionMetrics?.note(isConnected: true)
        logger.info("connected to Redis", metadata: ["redis.address": "\(configuration)"])
        scheduleHeartbeat()
        pump()
        if case .sentinel(let onEvent) = role { onEvent(.began) }
        // May end the connection again.
        beginSubscription()
    }

    /// Reports that nobody can tell whether the server is a replica.
    private func noteRefusedRole() {
        guard case .commands = role else { return }
        let refusal = handshake.roleRefusal
        roleRefusal.withLock { $0 = refusal }
        if let refusal { report([refusal]) }
    }

    /// Logs refused features, each once.
    func report(_ refusals: [String]) {
        for refusal in refusals where reportedRefusals.insert(refusal).inserted {
            logger.info(
                "Redis refuses a feature; continuing without it",
                metadata: ["redis.address": "\(configuration)", "refusal": "\(refusal)"]
            )
        }
    }

    /// Handles a failed connection or connection attempt: ends the commands that were sent, and reconnects after a
    /// delay.
    func lose(_ reason: EventBusError) {
        switch phase {
        case .connecting, .securing, .greeting, .ready: break
        case .idle, .pausing, .closed: return
        }
        // A server that accepts a connection and closes it immediately counts as unreachable.
        let served = phase == .ready && readySince.duration(to: .now) > .seconds(1)
        if served { backoff.reset() }
        let wasReady = phase == .ready
        endSocket(reason)
        phase = .pausing
        if !wasReady || !served && backoff.failures > 0 {
            setRefusal(reason)
            failWaiting(reason)
        }
        let metadata = ["redis.address": "\(configuration)", "error": "\(reason)"]
        // Once per outage.
        if backoff.failures == 0 {
            logger.info("lost the connection to Redis", metadata: metadata)
        } else {
            logger.debug("lost the connection to Redis", metadata: metadata)
        }
        let pause = backoff.pause()
        if !served { backoff.noteFailure() }
        thread.schedule(at: .now.advanced(by: pause)) { [weak self] in
            self?.assumeIsolated { connection in
                if connection.phase == .pausing { connection.connect() }
            }
        }
    }

    /// Ends the connection, and connects to another of its addresses if there is one.
    func leaveServer(_ reason: EventBusError) {
        guard phase == .ready else { return }
        addresses.leaveCurrent()
        lose(reason)
    }

    /// Handles a socket that accepts no more output. It first reads the server's last replies, which may contain the
    /// reason.
    func loseAfterReading(_ reason: EventBusError) {
        let generation = generation
        receive()
        if generation == self.generation { lose(reason) }
    }

    /// Releases the socket and fails the commands that were sent over it.
    func endSocket(_ reason: EventBusError) {
        generation += 1
        connectionMetrics?.note(isConnected: false)
        dropSocket(reset: !traffic.inFlight.isEmpty)
        for flight in traffic.abandon() {
            if case .caller(let command) = flight.owner { command.fail(reason) }
        }
        setPresence(nil)
        subscription.withLock { status in
            if case .inForce = status { status = .pending }
        }
        if case .subscriber(_, _, let onEvent) = role { onEvent(.ended) }
    }

    /// Closes the socket. With `reset`, undelivered output is discarded. Otherwise the kernel could still deliver,
    /// minutes later, a command whose caller was told that it failed.
    func dropSocket(reset: Bool) {
        if let watch { thread.unwatch(watch) }
        watch = nil
        if !reset, phase == .ready { tls?.close() }
        tls = nil
        if reset { socket?.resetOnClose() }
        socket = nil
        reader = nil
    }
}
