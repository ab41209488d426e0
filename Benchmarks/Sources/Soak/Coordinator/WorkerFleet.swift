import Glibc
import SoakAudit

/// The processes of the workers.
actor WorkerFleet {
    /// The names of all workers.
    static let names = [
        "publisher-1", "publisher-2", "plain-1", "plain-2", "keyed-1", "keyed-2", "inbox-1", "inbox-2", "lock-1",
        "lock-2",
    ]
    /// The time within which a worker has to end after SIGTERM: that of a publish or a lock, and of a shutdown.
    private static let shutdownLimit = Duration.seconds(45)

    /// The workers that ended on their own, or not when they were asked to.
    private(set) var problems: [String] = []
    /// The resources of the workers over time.
    private(set) var samples: [ResourceSample] = []
    private let program: String
    private let settingsFile: String
    private let directory: String
    private var processes: [String: ChildProcess] = [:]

    /// Creates a fleet without processes.
    init(program: String, settingsFile: String, directory: String) {
        self.program = program
        self.settingsFile = settingsFile
        self.directory = directory
    }

    /// Starts a worker.
    func start(_ name: String) throws {
        processes[name] = try ChildProcess(
            program,
            ["--worker", name, settingsFile],
            output: "\(directory)/\(name).log"
        )
    }

    /// Kills a worker.
    func kill(_ name: String) async {
        guard let process = processes.removeValue(forKey: name) else { return }
        process.send(SIGKILL)
        if await process.wait(atMost: .seconds(10)) == nil { problems.append("\(name) did not end after SIGKILL") }
    }

    /// Sends a signal to a worker.
    func signal(_ name: String, _ number: Int32) { processes[name]?.send(number) }

    /// Ends a worker in order.
    func stop(_ name: String) async {
        guard let process = processes.removeValue(forKey: name) else { return }
        process.send(SIGTERM)
        switch await process.wait(atMost: Self.shutdownLimit) {
        case 0: break
        case nil:
            problems.append("\(name) did not end within \(Self.shutdownLimit) after SIGTERM")
            process.send(SIGKILL)
            _ = await process.wait(atMost: .seconds(10))
        case let status?: problems.append("\(name) ended with status \(status) after SIGTERM")
        }
    }

    /// Ends workers in order, at the same time.
    func stop(_ names: [String]) async {
        await withTaskGroup(of: Void.self) { group in
            for name in names { group.addTask { await self.stop(name) } }
        }
    }

    /// Kills all workers, even stopped ones.
    func killAll() async {
        for name in processes.keys { await kill(name) }
    }

    /// Measures the resources of all workers. A worker that has ended on its own is noted and started again.
    func inspect() throws {
        for (name, process) in processes {
            if let status = process.poll() {
                problems.append("\(name) ended on its own with status \(status)")
                try start(name)
            } else if let sample = ResourceSample(worker: name, process: process.pid) {
                samples.append(sample)
            }
        }
    }
}
