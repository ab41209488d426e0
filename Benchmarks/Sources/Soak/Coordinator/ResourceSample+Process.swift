import Glibc
import SoakAudit

extension ResourceSample {
    /// Measures a process, or returns `nil` if it has ended.
    init?(worker: String, process: pid_t) {
        let memory = String(decoding: readFile("/proc/\(process)/statm"), as: UTF8.self).split(separator: " ")
        guard memory.count > 1, let pages = Int(memory[1]), let descriptors = Self.entries("/proc/\(process)/fd"),
            let threads = Self.entries("/proc/\(process)/task")
        else { return nil }
        self.init(
            worker: worker,
            process: Int(process),
            time: LedgerRecord.now(),
            kilobytes: pages * sysconf(Int32(_SC_PAGESIZE)) / 1024,
            descriptors: descriptors,
            threads: threads
        )
    }

    /// The number of entries of a directory.
    private static func entries(_ path: String) -> Int? {
        guard let directory = opendir(path) else { return nil }
        defer { closedir(directory) }
        var count = -2
        while readdir(directory) != nil { count += 1 }
        return count
    }
}
