#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// The functions of the system's C library that the core calls. No other file of it imports that library.
enum Platform {
    /// The time of the system's wall clock, since 1970 in UTC.
    static var wallClock: (seconds: Int64, nanoseconds: Int64) {
        var time = timespec()
        // Safe because the call only writes to the variable.
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return (Int64(time.tv_sec), Int64(time.tv_nsec))
    }

    /// The number of this process.
    static var processID: Int32 { getpid() }

    /// The name of this host, or `nil` if it is longer than 255 bytes.
    static var hostName: String? {
        var name = [CChar](repeating: 0, count: 256)
        // Safe because the call writes at most the given number of bytes, and the last one stays zero.
        guard unsafe gethostname(&name, name.count - 1) == 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Writes bytes to standard error. A short write cannot be repaired, and is ignored.
    static func writeToStandardError(_ bytes: [UInt8]) {
        // Safe because the buffer is valid for the call.
        _ = unsafe bytes.withUnsafeBytes { bytes in unsafe write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }

    /// Returns `base` to the power of `exponent`.
    static func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }

    /// Returns the natural logarithm of a number.
    static func logarithm(of number: Double) -> Double { log(number) }

    /// Returns a Boolean value indicating whether two memory areas of `count` bytes are equal.
    ///
    /// - Precondition: Both areas are valid for `count` bytes.
    @inline(__always)
    @unsafe
    static func areEqual(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, count: Int) -> Bool {
        unsafe memcmp(left, right, count) == 0
    }
}
