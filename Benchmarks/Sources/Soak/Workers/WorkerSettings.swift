import EventBus
import Glibc
import SoakAudit

/// The settings of all workers, which the coordinator writes into a file.
struct WorkerSettings: Codable, Sendable {
    /// The time after which a publish has to have an outcome, in seconds.
    static let publishTimeout = 10
    /// The time that a lock user waits for a lock, in seconds.
    static let lockWait = 8
    /// The time to live of a lease, in seconds.
    static let lease = 3
    /// The number of resources that the lock users compete for.
    static let resources = 4

    /// The directory of the run.
    var directory: String
    /// The ports of the proxies.
    var rabbitPort: Int
    var redisPort: Int
    var redisPassword: String
    /// The number of events a second of each publisher.
    var rate: Int
    /// The bug that one of the workers has, or `nil`.
    var plantedBug: PlantedBug?

    /// The file with the password of the user `soak`.
    var passwordFile: String { "\(directory)/password" }

    /// Returns the file of a worker's ledger.
    func ledgerFile(of worker: String) -> String { "\(directory)/\(worker).ledger" }

    /// Reads the settings.
    init(file: String) throws {
        self = try JSONEventCodec().decode(WorkerSettings.self, from: readFile(file))
    }

    init(
        directory: String,
        rabbitPort: Int,
        redisPort: Int,
        redisPassword: String,
        rate: Int,
        plantedBug: PlantedBug?
    ) {
        self.directory = directory
        self.rabbitPort = rabbitPort
        self.redisPort = redisPort
        self.redisPassword = redisPassword
        self.rate = rate
        self.plantedBug = plantedBug
    }
}

/// An error of this program.
struct SoakProblem: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }
}
