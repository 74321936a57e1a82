// phase_mixing: CRZ from the first wire to all others, then the Fourier transform.
// Source: QAMP 2025, code of 25 January 2026
// Options: num_wires=4, mixing=qft
// Qubits (q[0] is the least significant): data q[0], q[1], q[2], q[3]; ancilla none
// Parameters in radians, as declared: 3 weights w_..., 0 inputs x_...
OPENQASM 3.0;
include "stdgates.inc";
input float[64] w_0000;
input float[64] w_0001;
input float[64] w_0002;
qubit[4] q;
crz(w_0000) q[3], q[0];
crz(w_0001) q[3], q[1];
crz(w_0002) q[3], q[2];
h q[3];
cp(pi/2) q[3], q[2];
cp(pi/4) q[3], q[1];
cp(pi/8) q[3], q[0];
h q[2];
cp(pi/2) q[2], q[1];
cp(pi/4) q[2], q[0];
h q[1];
cp(pi/2) q[1], q[0];
h q[0];
swap q[0], q[3];
swap q[1], q[2];
