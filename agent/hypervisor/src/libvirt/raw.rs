//! The calls of libvirt's that the crate `virt` has not, or not whole. The only unsafe code there is.
//!
//! Every function takes and gives owned values: what C allocated is freed here, and no pointer leaves.

#![expect(unsafe_code, reason = "libvirt is a C library")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_uint, c_void},
    mem::transmute,
    ptr,
    sync::Arc,
};

use virt::{connect::Connect, domain::Domain, error::Error, sys};

/// One measured value of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Any of the integer types that is not negative.
    Number(u64),
    /// A text.
    Text(String),
}

/// What is measured of one domain.
pub(crate) struct Record {
    /// Lower case, with hyphens.
    pub(crate) uuid: String,
    pub(crate) name: String,
    /// For its definition.
    pub(crate) domain: Domain,
    /// By libvirt's names, "vcpu.maximum".
    pub(crate) values: Vec<(String, Value)>,
}

/// Told of each domain that changes.
pub(crate) trait Changes: Send + Sync {
    /// `uuid`: whose.
    fn changed(&self, uuid: &str);
}

/// virConnectBaselineHypervisorCPU of the host's default emulator, architecture and machine type.
pub(crate) fn baseline_hypervisor_cpu(
    connection: &Connect,
    virt_type: Option<&str>,
    cpus: &[String],
    flags: c_uint,
) -> Result<String, Error> {
    let virt_type = virt_type.map(CString::new).transpose()?;
    let cpus = cpus.iter().map(|cpu| CString::new(cpu.as_str())).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<*const c_char> = cpus.iter().map(|cpu| cpu.as_ptr()).collect();
    let count = c_uint::try_from(pointers.len()).unwrap_or(c_uint::MAX);
    // SAFETY: the connection is open while it is borrowed.
    let connection = unsafe { connection.as_ptr() };
    // SAFETY: all pointers are null, where that means a default, or of strings that live until the end of this function;
    // `count` is the number of `pointers`.
    let answer = unsafe {
        sys::virConnectBaselineHypervisorCPU(
            connection,
            ptr::null(),
            ptr::null(),
            ptr::null(),
            virt_type.as_ref().map_or(ptr::null(), |text| text.as_ptr()),
            pointers.as_mut_ptr(),
            count,
            flags,
        )
    };
    // SAFETY: it is null or a string that libvirt allocated for us.
    unsafe { owned_text(answer) }.ok_or_else(Error::last_error)
}

/// virConnectCompareHypervisorCPU, as above: a virCPUCompareResult, without VIR_CPU_COMPARE_ERROR.
pub(crate) fn compare_hypervisor_cpu(
    connection: &Connect,
    virt_type: Option<&str>,
    cpu: &str,
    flags: c_uint,
) -> Result<c_int, Error> {
    let virt_type = virt_type.map(CString::new).transpose()?;
    let cpu = CString::new(cpu)?;
    // SAFETY: the connection is open while it is borrowed.
    let connection = unsafe { connection.as_ptr() };
    // SAFETY: all pointers are null, where that means a default, or of strings that live until the end of this function.
    let result = unsafe {
        sys::virConnectCompareHypervisorCPU(
            connection,
            ptr::null(),
            ptr::null(),
            ptr::null(),
            virt_type.as_ref().map_or(ptr::null(), |text| text.as_ptr()),
            cpu.as_ptr(),
            flags,
        )
    };
    if result < 0 { Err(Error::last_error()) } else { Ok(result) }
}

/// virConnectGetAllDomainStats: every domain in one call.
pub(crate) fn all_domain_stats(
    connection: &Connect,
    stats: c_uint,
    flags: c_uint,
) -> Result<Vec<Record>, Error> {
    let mut list: *mut sys::virDomainStatsRecordPtr = ptr::null_mut();
    // SAFETY: the connection is open while it is borrowed.
    let connection = unsafe { connection.as_ptr() };
    // SAFETY: `list` is ours to be written to.
    let count = unsafe { sys::virConnectGetAllDomainStats(connection, stats, &raw mut list, flags) };
    let count = usize::try_from(count).map_err(|_| Error::last_error())?;
    let list = StatsList { list, count };
    Ok(list.records().iter().filter_map(|record| list.read(*record)).collect())
}

/// Freed whatever happens while it is read.
struct StatsList {
    list: *mut sys::virDomainStatsRecordPtr,
    count: usize,
}

impl StatsList {
    fn records(&self) -> &[sys::virDomainStatsRecordPtr] {
        if self.list.is_null() {
            return &[];
        }
        // SAFETY: libvirt wrote `count` records there, which live as long as the list.
        unsafe { std::slice::from_raw_parts(self.list, self.count) }
    }

    fn read(&self, record: sys::virDomainStatsRecordPtr) -> Option<Record> {
        // SAFETY: a record of the list is null or lives as long as it.
        let record = unsafe { record.as_ref() }?;
        let count = usize::try_from(record.nparams).ok()?;
        let parameters: &[sys::virTypedParameter] = if record.params.is_null() {
            &[]
        } else {
            // SAFETY: libvirt wrote `nparams` parameters there, which live as long as the list.
            unsafe { std::slice::from_raw_parts(record.params, count) }
        };
        let values = parameters.iter().filter_map(|parameter| Some((field(parameter)?, value(parameter)?)));
        // SAFETY: the list keeps its domains alive.
        let (uuid, name) = unsafe { identity(record.dom) }?;
        // SAFETY: as above; the list frees its own reference, `domain` another.
        if unsafe { sys::virDomainRef(record.dom) } < 0 {
            return None;
        }
        // SAFETY: it owns the reference just taken.
        let domain = unsafe { Domain::from_ptr(record.dom) };
        Some(Record { uuid, name, domain, values: values.collect() })
    }
}

impl Drop for StatsList {
    fn drop(&mut self) {
        if !self.list.is_null() {
            // SAFETY: the list is libvirt's and nobody has freed it; it frees records, parameters and domains.
            unsafe { sys::virDomainStatsRecordListFree(self.list) };
        }
    }
}

fn field(parameter: &sys::virTypedParameter) -> Option<String> {
    let bytes: Vec<u8> =
        parameter.field.iter().map(|c| c.to_ne_bytes()[0]).take_while(|byte| *byte != 0).collect();
    String::from_utf8(bytes).ok()
}

fn value(parameter: &sys::virTypedParameter) -> Option<Value> {
    let value = &parameter.value;
    let number = match sys::virTypedParameterType::try_from(parameter.type_).ok()? {
        // SAFETY: the type says which of the union's values is there.
        sys::VIR_TYPED_PARAM_INT => u64::try_from(unsafe { value.i }).ok()?,
        // SAFETY: as above.
        sys::VIR_TYPED_PARAM_UINT => u64::from(unsafe { value.ui }),
        // SAFETY: as above.
        sys::VIR_TYPED_PARAM_LLONG => u64::try_from(unsafe { value.l }).ok()?,
        // SAFETY: as above.
        sys::VIR_TYPED_PARAM_ULLONG => unsafe { value.ul },
        sys::VIR_TYPED_PARAM_STRING => {
            // SAFETY: as above.
            let text = unsafe { value.s };
            // SAFETY: a string parameter is null or ends with a NUL and lives as long as its record.
            return unsafe { copied_text(text) }.map(Value::Text);
        }
        _ => return None,
    };
    Some(Value::Number(number))
}

/// UUID and name; neither asks the daemon.
///
/// # Safety
/// `domain` is null or a domain that lives.
unsafe fn identity(domain: sys::virDomainPtr) -> Option<(String, String)> {
    const UUID_TEXT_BYTES: usize = 37;
    if domain.is_null() {
        return None;
    }
    let mut uuid: [c_char; UUID_TEXT_BYTES] = [0; UUID_TEXT_BYTES];
    // SAFETY: VIR_UUID_STRING_BUFLEN bytes are there to be written to.
    if unsafe { sys::virDomainGetUUIDString(domain, uuid.as_mut_ptr()) } < 0 {
        return None;
    }
    // SAFETY: libvirt wrote a string there.
    let uuid = unsafe { copied_text(uuid.as_ptr()) }?;
    // SAFETY: the domain lives, and so does its name.
    let name = unsafe { sys::virDomainGetName(domain) };
    // SAFETY: as above.
    Some((uuid, unsafe { copied_text(name) }?))
}

/// # Safety
/// `text` is null or ends with a NUL.
unsafe fn copied_text(text: *const c_char) -> Option<String> {
    // SAFETY: the caller's word, and it is not null.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// # Safety
/// `text` is null or a string of malloc's that nobody else frees.
unsafe fn owned_text(text: *mut c_char) -> Option<String> {
    // SAFETY: the caller's word.
    let copy = unsafe { copied_text(text) };
    // SAFETY: the caller's word; free(NULL) does nothing.
    unsafe { nix::libc::free(text.cast::<c_void>()) };
    copy
}

/// Has `changes` told of each domain that is defined, started, stopped or given another device. Needs an event loop. What
/// comes back must go to [`unwatch_domains`] before the connection is closed: each callback keeps it open.
pub(crate) fn watch_domains(
    connection: &Connect,
    changes: &Arc<dyn Changes>,
) -> (Vec<c_int>, Result<(), Error>) {
    let mut callbacks = Vec::new();
    for event in [
        sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE,
        sys::VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
        sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
        sys::VIR_DOMAIN_EVENT_ID_TUNABLE,
    ] {
        let opaque = Box::into_raw(Box::new(Arc::clone(changes))).cast::<c_void>();
        let event_id = c_int::try_from(event).unwrap_or(0);
        // SAFETY: the connection is open while it is borrowed.
        let connection = unsafe { connection.as_ptr() };
        // SAFETY: libvirt calls a callback with the arguments of its event; `on_event` looks at those that all events
        // begin with. `opaque` lives until `forget` is called with it, once.
        let registered = unsafe {
            sys::virConnectDomainEventRegisterAny(
                connection,
                ptr::null_mut(),
                event_id,
                callback_of(event),
                opaque,
                Some(forget),
            )
        };
        if registered < 0 {
            let error = Error::last_error();
            // SAFETY: libvirt has not taken it.
            unsafe { forget(opaque) };
            return (callbacks, Err(error));
        }
        callbacks.push(registered);
    }
    (callbacks, Ok(()))
}

/// Ends what [`watch_domains`] began.
pub(crate) fn unwatch_domains(connection: &Connect, callbacks: &[c_int]) {
    for callback in callbacks {
        // SAFETY: the connection is open while it is borrowed.
        let connection = unsafe { connection.as_ptr() };
        // SAFETY: the number is one that libvirt gave; that it fails on a connection that broke does no harm, for the
        // callback is forgotten on this side first.
        unsafe { sys::virConnectDomainEventDeregisterAny(connection, *callback) };
    }
}

/// What libvirt calls for an event; each sort has arguments of its own between the domain and `opaque`.
fn callback_of(event: sys::virDomainEventID) -> sys::virConnectDomainEventGenericCallback {
    type Lifecycle =
        unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;
    type Generic = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
    type Device = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, *mut c_void);
    type Tunable = unsafe extern "C" fn(
        sys::virConnectPtr,
        sys::virDomainPtr,
        sys::virTypedParameterPtr,
        c_int,
        *mut c_void,
    );
    Some(match event {
        // SAFETY: VIR_DOMAIN_EVENT_CALLBACK: libvirt casts it back to the type that the event's number stands for.
        sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE => unsafe { transmute::<Lifecycle, Generic>(on_lifecycle) },
        // SAFETY: as above.
        sys::VIR_DOMAIN_EVENT_ID_TUNABLE => unsafe { transmute::<Tunable, Generic>(on_tunable) },
        // SAFETY: as above.
        _ => unsafe { transmute::<Device, Generic>(on_device) },
    })
}

unsafe extern "C" fn on_lifecycle(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _: c_int,
    _: c_int,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: libvirt's arguments.
    unsafe { tell(domain, opaque) };
    0
}

unsafe extern "C" fn on_device(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt's arguments.
    unsafe { tell(domain, opaque) };
}

unsafe extern "C" fn on_tunable(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _: sys::virTypedParameterPtr,
    _: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt's arguments.
    unsafe { tell(domain, opaque) };
}

/// # Safety
/// `domain` lives, and `opaque` is what [`watch_domains`] gave.
unsafe fn tell(domain: sys::virDomainPtr, opaque: *mut c_void) {
    // SAFETY: the caller's word.
    let changes = unsafe { opaque.cast::<Arc<dyn Changes>>().as_ref() };
    // SAFETY: the caller's word.
    let identity = unsafe { identity(domain) };
    if let (Some(changes), Some((uuid, _))) = (changes, identity) {
        changes.changed(&uuid);
    }
}

unsafe extern "C" fn forget(opaque: *mut c_void) {
    // SAFETY: it is the box that `watch_domains` let go of, and libvirt calls this once.
    drop(unsafe { Box::from_raw(opaque.cast::<Arc<dyn Changes>>()) });
}
