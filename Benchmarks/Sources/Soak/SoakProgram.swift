import EventBus
import Glibc
import SoakAudit

/// Publishes, consumes and locks in several processes over real servers, while faults of a seeded schedule happen, and
/// audits the ledgers of all processes at the end:
///
///     Soak SEED --directory DIR --brokers SCRIPT [--seconds N] [--rate N] [--faults KIND,KIND…] [--plant BUG]
///          [--report FILE] [--commit COMMIT]
///     Soak SEED --schedule N
///
/// `Scripts/soak` runs it. The exit code is 1 if the audit finds a violation.
@main
struct SoakProgram {
    static func main() async {
        do {
            try await run()
        } catch {
            _ = "soak: \(error)\n".withCString { write(2, $0, strlen($0)) }
            exit(2)
        }
    }

    private static func run() async throws {
        var arguments = CommandLine.arguments.dropFirst()
        if arguments.first == "--worker" {
            guard arguments.count == 3 else { throw SoakProblem("--worker needs a name and a file") }
            let rest = Array(arguments.dropFirst())
            return try await Worker.run(name: rest[0], settingsFile: rest[1])
        }
        guard let seed = arguments.popFirst().flatMap({ UInt64($0) }) else { throw SoakProblem("the seed is missing") }
        var run = SoakRun(
            seed: seed,
            duration: .seconds(60),
            rate: 400,
            directory: "",
            brokersScript: "",
            program: CommandLine.arguments[0],
            kinds: Fault.Kind.allCases,
            plantedBug: nil
        )
        var reportFile: String?
        var commit = "unknown"
        while let option = arguments.popFirst() {
            guard let value = arguments.popFirst() else { throw SoakProblem("\(option) is without its value") }
            switch (option, Int(value)) {
            case ("--directory", _): run.directory = value
            case ("--brokers", _): run.brokersScript = value
            case ("--report", _): reportFile = value
            case ("--commit", _): commit = value
            case ("--seconds", let seconds?) where seconds > 0: run.duration = .seconds(seconds)
            case ("--rate", let rate?) where rate > 1: run.rate = rate
            case ("--schedule", let count?): return printSchedule(seed, count)
            case ("--plant", _):
                guard let bug = PlantedBug(rawValue: value) else {
                    throw SoakProblem("no bug \(value); there are \(PlantedBug.allCases.map(\.rawValue))")
                }
                run.plantedBug = bug
            case ("--faults", _):
                run.kinds = try value.split(separator: ",").map {
                    guard let kind = Fault.Kind(rawValue: String($0)) else {
                        throw SoakProblem("no fault \($0); there are \(Fault.Kind.allCases.map(\.rawValue))")
                    }
                    return kind
                }
            default: throw SoakProblem("\(option) \(value) is not understood")
            }
        }
        guard !run.directory.isEmpty, !run.brokersScript.isEmpty else {
            throw SoakProblem("--directory and --brokers are required; see Scripts/soak")
        }
        SoakRun.show("seed \(seed), commit \(commit)" + (run.plantedBug.map { ", planted bug \($0)" } ?? ""))
        var report = try await run.run()
        report.commit = commit
        print(report.table)
        if let reportFile {
            try writeFile(reportFile, String(decoding: try JSONEventCodec().encode(report), as: UTF8.self) + "\n")
        }
        fflush(nil)
        exit(report.violations.isEmpty ? 0 : 1)
    }

    private static func printSchedule(_ seed: UInt64, _ count: Int) {
        for step in FaultSchedule(seed: seed, workers: WorkerFleet.names).lazy.prefix(count) {
            print("after \(step.pause) ms: \(step.faults.map(\.description).joined(separator: "; "))")
        }
    }
}
