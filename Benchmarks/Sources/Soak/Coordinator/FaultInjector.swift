import Glibc
import SoakAudit

/// Injects faults and removes them.
struct FaultInjector: Sendable {
    let servers: Servers
    let fleet: WorkerFleet
    let rabbitProxy: FaultProxy
    let redisProxy: FaultProxy
    let passwordFile: String

    /// Injects a fault, waits, and removes it.
    func inject(_ fault: Fault) async throws -> FaultEntry {
        let began = LedgerRecord.now()
        let pause = Duration.milliseconds(fault.milliseconds)
        switch fault.kind {
        case .rabbitKill: try await kill("rabbitmq", pause)
        case .redisKill: try await kill("redis", pause)
        case .rabbitPause: try await stall("rabbitmq", pause)
        case .redisPause: try await stall("redis", pause)
        case .workerKill:
            await fleet.kill(fault.target)
            try await Task.sleep(for: pause)
            try await fleet.start(fault.target)
        case .workerPause:
            await fleet.signal(fault.target, SIGSTOP)
            try await Task.sleep(for: pause)
            await fleet.signal(fault.target, SIGCONT)
        case .workerRestart:
            await fleet.stop(fault.target)
            try await Task.sleep(for: pause)
            try await fleet.start(fault.target)
        case .connectionsReset: proxy(of: fault).change { $0.resets += 1 }
        case .connectionCut:
            try await distort(fault, pause) {
                $0.cutAfter = fault.amount
                $0.resets += 1
            }
        case .latency: try await distort(fault, pause) { $0.latency = UInt64(fault.amount) * 1_000_000 }
        case .throttle: try await distort(fault, pause) { $0.bytesPerSecond = fault.amount }
        case .oneWayLoss:
            try await distort(fault, pause) { $0.lostDirection = fault.amount == 1 ? .toServer : .toClient }
        case .memoryAlarm:
            try await servers.control("set_vm_memory_high_watermark", "0.000001")
            try await Task.sleep(for: pause)
            try await servers.control("set_vm_memory_high_watermark", "0.4")
        case .passwordChanged: try await changePassword()
        case .policySet:
            let queue = SoakTopic.allCases.first { $0.group == fault.target }?.queue ?? ""
            let policy = #"{"max-length":20,"overflow":"reject-publish"}"#
            try await servers.control(
                "set_policy",
                "soak",
                "^\(queue.replacing(".", with: "\\."))$",
                policy,
                "--apply-to",
                "queues"
            )
            try await Task.sleep(for: pause)
            try await servers.control("clear_policy", "soak")
        case .queueDeleted: try await delete(queue: SoakTopic.allCases.first { $0.group == fault.target }?.queue ?? "")
        case .deadLettersDeleted: try await delete(queue: "\(fault.target).dead")
        case .delayLevelDeleted: try await delete(queue: "eventbus.delay.v1.\(fault.amount)")
        case .bindingDeleted: try await deleteBinding(of: fault.target)
        case .exchangeDeleted:
            try await servers.control(
                "eval",
                #"rabbit_exchange:delete(rabbit_misc:r(<<"/">>, exchange, <<"events">>), false, <<"soak">>)."#
            )
        }
        return FaultEntry(fault: fault, began: began, healed: LedgerRecord.now())
    }

    /// Gives the user of the workers another password, and closes its connections.
    func changePassword() async throws {
        let password = "soak-\(LedgerRecord.now())"
        try await servers.control("change_password", "soak", password)
        try writeFile(passwordFile, password)
        try await servers.control("close_all_user_connections", "soak", "password changed")
    }

    private func kill(_ server: String, _ pause: Duration) async throws {
        try await servers.kill(server)
        try await Task.sleep(for: pause)
        try await servers.restart(server)
    }

    private func stall(_ server: String, _ pause: Duration) async throws {
        try servers.signal(server, SIGSTOP)
        try await Task.sleep(for: pause)
        try servers.signal(server, SIGCONT)
    }

    private func proxy(of fault: Fault) -> FaultProxy { fault.target == "redis" ? redisProxy : rabbitProxy }

    private func distort(
        _ fault: Fault,
        _ pause: Duration,
        _ change: (inout FaultProxy.Faults) -> Void
    ) async throws {
        let proxy = proxy(of: fault)
        proxy.change(change)
        try await Task.sleep(for: pause)
        proxy.change { $0 = FaultProxy.Faults(resets: $0.resets) }
    }

    private func delete(queue: String) async throws {
        do {
            try await servers.control("delete_queue", queue)
        } catch {
            // It does not exist yet, or not any more.
            guard "\(error)".contains("not found") else { throw error }
        }
    }

    private func deleteBinding(of group: String) async throws {
        let queue = SoakTopic.allCases.first { $0.group == group }?.queue ?? ""
        try await servers.control(
            "eval",
            """
            [rabbit_binding:remove(B, <<"soak">>) ||
                B <- rabbit_binding:list_for_destination(rabbit_misc:r(<<"/">>, queue, <<"\(queue)">>)),
                element(4, element(2, B)) =:= <<"events">>].
            """
        )
    }
}

/// Replaces the contents of a file at once.
func writeFile(_ path: String, _ text: String) throws {
    let new = "\(path).new"
    let descriptor = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw SoakProblem("\(new) cannot be opened: \(errno)") }
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { throw SoakProblem("\(new) cannot be written: \(errno)") }
        bytes = bytes.dropFirst(count)
    }
    close(descriptor)
    guard rename(new, path) == 0 else { throw SoakProblem("\(path) cannot be replaced: \(errno)") }
}
