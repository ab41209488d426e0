import EventBus
import EventBusRabbit
import Glibc
import Logging
import SoakAudit

/// A run of a seed: the servers, the workers, the faults, and the audit at the end.
struct SoakRun: Sendable {
    var seed: UInt64
    var duration: Duration
    /// The number of published events a second.
    var rate: Int
    /// The directory of all files of the run.
    var directory: String
    /// The path of `Scripts/brokers`.
    var brokersScript: String
    /// The path of this program.
    var program: String
    /// The kinds of faults that happen.
    var kinds: [Fault.Kind]
    var plantedBug: PlantedBug?

    /// Runs everything, and returns the report.
    func run() async throws -> SoakReport {
        signal(SIGPIPE, SIG_IGN)
        let servers = try await Servers(script: brokersScript, directory: directory)
        do {
            let report = try await run(on: servers)
            try await servers.stop()
            return report
        } catch {
            try? await servers.stop()
            throw error
        }
    }

    private func run(on servers: Servers) async throws -> SoakReport {
        let rabbitProxy = try FaultProxy(serverPort: servers.rabbitPort)
        let redisProxy = try FaultProxy(serverPort: servers.redisPort)
        let settings = WorkerSettings(
            directory: directory,
            rabbitPort: rabbitProxy.port,
            redisPort: redisProxy.port,
            redisPassword: servers.redisPassword,
            rate: max(1, rate / 2),
            plantedBug: plantedBug
        )
        let settingsFile = "\(directory)/settings.json"
        try writeFile(settingsFile, String(decoding: try JSONEventCodec().encode(settings), as: UTF8.self))
        try await servers.control("add_user", "soak", "soak")
        try await servers.control("set_permissions", "soak", ".*", ".*", ".*")
        let fleet = WorkerFleet(program: program, settingsFile: settingsFile, directory: directory)
        let injector = FaultInjector(
            servers: servers,
            fleet: fleet,
            rabbitProxy: rabbitProxy,
            redisProxy: redisProxy,
            passwordFile: settings.passwordFile
        )
        try await injector.changePassword()
        for name in WorkerFleet.names { try await fleet.start(name) }
        let inspecting = Task {
            while true {
                try await Task.sleep(for: .seconds(1))
                try await fleet.inspect()
            }
        }
        defer { inspecting.cancel() }
        do {
            try await waitForEffects(settings)
            return try await audit(injector, settings, inspecting)
        } catch {
            await fleet.killAll()
            throw error
        }
    }

    /// Injects the faults, waits until everything has recovered, and compares the ledgers.
    private func audit(
        _ injector: FaultInjector,
        _ settings: WorkerSettings,
        _ inspecting: Task<Void, any Error>
    ) async throws -> SoakReport {
        let (servers, fleet) = (injector.servers, injector.fleet)
        let faults = try await injectFaults(injector)
        // The time in which everything has to recover from the last fault.
        try await Task.sleep(for: .seconds(20))
        await fleet.stop(WorkerFleet.names.filter { $0.hasPrefix("publisher") })
        let undrained = try await drain(servers)
        let deadLetters = try await readDeadLetters(servers)
        try await fleet.inspect()
        inspecting.cancel()
        await fleet.stop(WorkerFleet.names)

        let audit = Audit(
            ledgers: WorkerFleet.names.map { Ledger(worker: $0, file: settings.ledgerFile(of: $0)) },
            faults: faults,
            deadLetters: deadLetters,
            samples: await fleet.samples,
            limits: Audit.Limits(
                publish: UInt64(WorkerSettings.publishTimeout),
                lock: UInt64(WorkerSettings.lockWait),
                detection: 2 * 5 + 1
            )
        )
        return audit.report(
            seed: seed,
            problems: await fleet.problems + undrained.map { "\($0.name) still has \($0.messages) events" }
        )
    }

    /// Waits until events of every topic were handled.
    private func waitForEffects(_ settings: WorkerSettings) async throws {
        for _ in 0..<300 {
            var topics: Set<SoakTopic> = []
            for name in WorkerFleet.names {
                for record in Ledger(worker: name, file: settings.ledgerFile(of: name)).records
                where record.kind == .effect {
                    if let topic = EventNumber(rawValue: record.number).topic { topics.insert(topic) }
                }
            }
            if topics.count == SoakTopic.allCases.count { return }
            try await Task.sleep(for: .milliseconds(200))
        }
        throw SoakProblem("the workers handle nothing: see their logs in \(directory)")
    }

    /// Injects the faults of the schedule until the time is over.
    private func injectFaults(_ injector: FaultInjector) async throws -> [FaultEntry] {
        let workers = WorkerFleet.names
        var entries: [FaultEntry] = []
        let start = ContinuousClock.now
        for step in FaultSchedule(seed: seed, workers: workers, kinds: kinds) {
            guard ContinuousClock.now - start < duration else { break }
            try await Task.sleep(for: .milliseconds(step.pause))
            for fault in step.faults { Self.show("\(Int((ContinuousClock.now - start) / .seconds(1))) s: \(fault)") }
            entries += try await withThrowingTaskGroup(of: FaultEntry.self) { group in
                for fault in step.faults { group.addTask { try await injector.inject(fault) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
        }
        return entries
    }

    /// Waits until all queues are empty. Returns those that are not.
    private func drain(_ servers: Servers) async throws -> [Servers.Queue] {
        var left: [Servers.Queue] = []
        var quietRounds = 0
        for _ in 0..<20 {
            left = try await servers.queues().filter { queue in
                queue.messages > 0 && !queue.name.hasSuffix(".dead") && !queue.name.hasPrefix("eventbus.crashes.")
            }
            // An event on its way between two queues is in neither.
            quietRounds = left.isEmpty ? quietRounds + 1 : 0
            if quietRounds == 2 { return [] }
            // A quorum queue reports its size every five seconds.
            try await Task.sleep(for: .seconds(6))
        }
        return left
    }

    private func readDeadLetters(_ servers: Servers) async throws -> [DeadLetterEntry] {
        let rabbit = RabbitConfiguration(
            host: .init("127.0.0.1", port: servers.rabbitPort),
            credentials: .init(user: "guest", password: servers.rabbitPassword)
        )
        var logger = Logger(label: "audit")
        logger.logLevel = .notice
        let bus = try EventBus(transport: .rabbit(rabbit, logger: logger), logger: logger)
        return try await bus.withRunning {
            var entries: [DeadLetterEntry] = []
            for topic in SoakTopic.allCases {
                // A group without dead letters may have no queue for them.
                for letter in try await bus.deadLetters(of: topic.group).entries() {
                    entries.append(
                        DeadLetterEntry(
                            group: topic.group,
                            id: letter.envelope.id.rawValue,
                            reason: letter.failure.reason.rawValue
                        )
                    )
                }
            }
            return entries
        }
    }

    /// Prints a line about the progress.
    static func show(_ line: String) { print(line); fflush(nil) }
}
